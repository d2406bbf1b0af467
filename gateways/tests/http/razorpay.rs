//! Razorpay.

use khata_domain::{CallFailure, Consent, Details, Gateway, GatewayResponse};
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::scripted::Scripted;
use crate::support::{call, connector, reference};

mod check;
mod errors;
mod outcome;
mod webhook;
mod wire;

/// A connector to whatever listens there, of an account with RazorpayX.
fn razorpay(origin: &str, settings: &Value) -> Box<dyn Connector> {
    let mut settings = settings.clone();
    settings["source_account_number"] = "7878780080316316".into();
    gateway_only(origin, &settings)
}

/// Likewise, of an account that has the payment gateway only.
fn gateway_only(origin: &str, settings: &Value) -> Box<dyn Connector> {
    let credentials = json!({
        "key_id": "rzp_live_key", "key_secret": "s3cret",
        "webhook_secrets": ["new secret", "old secret"]
    });
    connector(Gateway::Razorpay, origin, &credentials, settings).unwrap()
}

/// What the connector makes of the call when it is answered so.
async fn answered(
    status: u16,
    headers: &'static str,
    body: &str,
    details: &Details,
    consent: Option<&Consent>,
) -> Result<GatewayResponse, CallFailure> {
    let server = Scripted::answering(status, headers, body).await;
    let razorpay = razorpay(&server.origin, &json!({}));
    let reference = reference();
    razorpay
        .verify(&call(razorpay.as_ref(), &reference, details, consent))
        .await
}
