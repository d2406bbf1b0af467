//! The five gateways of the sandbox, with credentials and settings of a merchant's account at each.

use crate::merchant::GatewayAccount;
use crate::sandbox::Sandbox;

/// A gateway of the sandbox.
#[derive(Clone, Copy, Debug)]
pub struct SandboxGateway {
    pub name: &'static str,
    /// Juspay's id of the gateway.
    pub id: &'static str,
    /// Path below the sandbox's address.
    path: &'static str,
    /// The merchant's name for its account at the gateway.
    pub reference_id: &'static str,
    credentials: &'static str,
    settings: &'static str,
    /// Whether the gateway sends a webhook when a pending outcome is known.
    pub sends_webhooks: bool,
}

/// All five, in the order of priority of the local stack and the tests.
pub const GATEWAYS: [SandboxGateway; 5] = [
    SandboxGateway {
        name: "CASHFREE",
        id: "70",
        path: "/cashfree/verification",
        reference_id: "cashfree_e2e",
        credentials: r#"{"client_id":"sandbox_client","client_secret":"sandbox_secret"}"#,
        settings: "{}",
        sends_webhooks: true,
    },
    SandboxGateway {
        name: "DECENTRO",
        id: "1002",
        path: "/decentro",
        reference_id: "decentro_e2e",
        credentials: r#"{"client_id":"decentro_sandbox_client","client_secret":"decentro_sandbox_secret"}"#,
        settings: "{}",
        sends_webhooks: false,
    },
    SandboxGateway {
        name: "RAZORPAY",
        id: "23",
        path: "/razorpay",
        reference_id: "razorpay_e2e",
        credentials: r#"{"key_id":"rzp_test_sandbox","key_secret":"sandbox_secret","webhook_secrets":["sandbox_webhook_secret"]}"#,
        settings: r#"{"source_account_number":"7878780080316316"}"#,
        sends_webhooks: true,
    },
    SandboxGateway {
        name: "SETU",
        id: "1001",
        path: "/setu",
        reference_id: "setu_e2e",
        credentials: r#"{"client_id":"setu-sandbox-client","client_secret":"setu-sandbox-secret","product_instance_id":"setu-sandbox-product-instance","umap":{"merchant_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","token":"setu-sandbox-umap-token"},"webhook_secrets":["SetuSandboxWebhookSecret01"]}"#,
        settings: "{}",
        sends_webhooks: true,
    },
    SandboxGateway {
        name: "PAYU",
        id: "12",
        path: "/payu",
        reference_id: "payu_e2e",
        credentials: r#"{"client_id":"payu_sandbox_client","client_secret":"payu_sandbox_secret","payout_merchant_id":"1111126","key":"payu_sandbox_key","salt":"payu_sandbox_salt"}"#,
        settings: "{}",
        sends_webhooks: false,
    },
];

impl SandboxGateway {
    /// Returns the gateway of this name.
    ///
    /// # Panics
    /// If the name is not one of [`GATEWAYS`].
    pub fn named(name: &str) -> Self {
        let found = GATEWAYS.into_iter().find(|gateway| gateway.name == name);
        #[allow(clippy::expect_used)]
        found.expect("one of the five gateways")
    }

    /// Returns the gateway's base URL in this sandbox.
    pub fn base_url(&self, sandbox: &Sandbox) -> String {
        format!("{}{}", sandbox.url, self.path)
    }

    /// Returns a merchant's account at the gateway, with this base URL and priority.
    pub fn account<'a>(&self, base_url: &'a str, priority: i16) -> GatewayAccount<'a> {
        GatewayAccount {
            gateway: self.name,
            reference_id: self.reference_id,
            priority,
            base_url,
            credentials: self.credentials,
            settings: self.settings,
            ..GatewayAccount::default()
        }
    }
}
