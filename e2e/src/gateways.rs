//! The five gateways as the sandbox speaks them, and what a merchant's account at each is set up with.

use crate::merchant::GatewayAccount;
use crate::sandbox::Sandbox;

/// A gateway of the sandbox.
#[derive(Clone, Copy, Debug)]
pub struct SandboxGateway {
    /// Its name.
    pub name: &'static str,
    /// Juspay's id for it.
    pub id: &'static str,
    /// Below the sandbox's address.
    path: &'static str,
    /// The merchant's name for its account there.
    pub reference_id: &'static str,
    credentials: &'static str,
    settings: &'static str,
    /// Whether it calls back when an outcome that was pending is there.
    pub calls_back: bool,
}

/// All five, in the order in which the local stack and the tests ask them.
pub const GATEWAYS: [SandboxGateway; 5] = [
    SandboxGateway {
        name: "CASHFREE",
        id: "70",
        path: "/cashfree/verification",
        reference_id: "cashfree_e2e",
        credentials: r#"{"client_id":"sandbox_client","client_secret":"sandbox_secret"}"#,
        settings: "{}",
        calls_back: true,
    },
    SandboxGateway {
        name: "DECENTRO",
        id: "1002",
        path: "/decentro",
        reference_id: "decentro_e2e",
        credentials: r#"{"client_id":"decentro_sandbox_client","client_secret":"decentro_sandbox_secret"}"#,
        settings: "{}",
        calls_back: false,
    },
    SandboxGateway {
        name: "RAZORPAY",
        id: "23",
        path: "/razorpay",
        reference_id: "razorpay_e2e",
        credentials: r#"{"key_id":"rzp_test_sandbox","key_secret":"sandbox_secret","webhook_secrets":["sandbox_webhook_secret"]}"#,
        settings: r#"{"source_account_number":"7878780080316316"}"#,
        calls_back: true,
    },
    SandboxGateway {
        name: "SETU",
        id: "1001",
        path: "/setu",
        reference_id: "setu_e2e",
        credentials: r#"{"client_id":"setu-sandbox-client","client_secret":"setu-sandbox-secret","product_instance_id":"setu-sandbox-product-instance","umap":{"merchant_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","token":"setu-sandbox-umap-token"},"webhook_secrets":["SetuSandboxWebhookSecret01"]}"#,
        settings: "{}",
        calls_back: true,
    },
    SandboxGateway {
        name: "PAYU",
        id: "12",
        path: "/payu",
        reference_id: "payu_e2e",
        credentials: r#"{"client_id":"payu_sandbox_client","client_secret":"payu_sandbox_secret","payout_merchant_id":"1111126","key":"payu_sandbox_key","salt":"payu_sandbox_salt"}"#,
        settings: "{}",
        calls_back: false,
    },
];

impl SandboxGateway {
    /// The gateway of this name.
    ///
    /// # Panics
    /// Where there is none: a test names one of [`GATEWAYS`].
    pub fn named(name: &str) -> Self {
        let found = GATEWAYS.into_iter().find(|gateway| gateway.name == name);
        #[allow(clippy::expect_used)]
        found.expect("one of the five gateways")
    }

    /// Its address in this sandbox.
    pub fn base_url(&self, sandbox: &Sandbox) -> String {
        format!("{}{}", sandbox.url, self.path)
    }

    /// A merchant's account there, at this address and priority.
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
