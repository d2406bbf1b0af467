//! Connectors, calls and signatures for tests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use khata_domain::{
    AccountNumber, BankAccount, BeneficiaryName, CallFailure, Consent, Details, Gateway, Ifsc,
    Method, Vpa,
};
use khata_gateways::{
    Call, ConfigError, Connector, ConnectorConfig, WebhookError, WebhookMessage, WebhookRequest,
    connect,
};
use serde_json::Value;
use sha2::Sha256;

/// Address that refuses connections. Its port is below the range from which the kernel gives ports to the servers of
/// other tests.
pub(crate) const CLOSED_PORT: &str = "http://127.0.0.1:9";

/// Makes a connector that calls this address.
pub(crate) fn connector(
    gateway: Gateway,
    base_url: &str,
    credentials: &Value,
    settings: &Value,
) -> Result<Box<dyn Connector>, ConfigError> {
    connect(
        gateway,
        &ConnectorConfig {
            base_url: Some(base_url),
            credentials: Some(credentials.to_string().as_bytes()),
            settings,
            http: &khata_gateways::client().unwrap(),
            sandbox_mode: true,
            longest_call: Duration::from_secs(14),
        },
    )
}

/// Whether the gateway may have acted on the call.
pub(crate) fn is_lost<T>(result: &Result<T, CallFailure>) -> bool {
    matches!(result, Err(CallFailure::ResponseLost(_)))
}

pub(crate) fn bank(number: &str, ifsc: &str, name: Option<&str>) -> Details {
    Details::Bank(BankAccount {
        ifsc: Ifsc::parse(ifsc).unwrap(),
        account_number: AccountNumber::parse(number).unwrap(),
        beneficiary_name: name.map(|name| BeneficiaryName::parse(name).unwrap()),
    })
}

/// Returns an account that is valid at the sandbox.
pub(crate) fn good() -> Details {
    bank("00011020001772", "HDFC0000001", Some("Asha Rao"))
}

pub(crate) fn upi(vpa: &str) -> Details {
    Details::Upi(Vpa::parse(vpa).unwrap())
}

pub(crate) fn consent(obtained: bool) -> Consent {
    Consent {
        obtained,
        purpose: "to pay out".into(),
        timestamp: "2026-11-22T09:24:36.123Z".parse().unwrap(),
    }
}

/// Returns a new reference in the worker's form.
pub(crate) fn reference() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("kh{:026}_01", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the call that the worker would make.
pub(crate) fn call<'a>(
    connector: &dyn Connector,
    reference: &'a str,
    details: &'a Details,
    consent: Option<&'a Consent>,
) -> Call<'a> {
    Call {
        reference,
        details,
        method: connector
            .eligible_method(details, consent)
            .unwrap_or(Method::PennyDrop),
        consent,
        attempt: 1,
        started_at: Utc::now(),
    }
}

/// Reads a webhook with these headers, received now.
pub(crate) fn webhook_received(
    connector: &dyn Connector,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Option<WebhookMessage>, WebhookError> {
    connector.webhook(&WebhookRequest {
        headers,
        body: body.as_bytes(),
        received_at: Utc::now(),
    })
}

/// Returns the HMAC-SHA256 of these parts.
pub(crate) fn hmac<T: AsRef<[u8]>>(secret: &str, parts: &[T]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in parts {
        mac.update(part.as_ref());
    }
    mac.finalize().into_bytes().to_vec()
}
