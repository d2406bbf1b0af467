//! Tests of Razorpay's connector over HTTP.

use khata_domain::{CallFailure, Consent, Details, Gateway, GatewayResponse};
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::scripted::ScriptedServer;
use crate::support::{call, connector, reference};

mod check;
mod errors;
mod outcome;
pub(crate) mod profiles;
mod webhook;
mod wire;

/// Makes a connector that calls this address, of an account with RazorpayX.
fn razorpay(origin: &str, settings: &Value) -> Box<dyn Connector> {
    let mut settings = settings.clone();
    settings["source_account_number"] = "7878780080316316".into();
    gateway_only(origin, &settings)
}

/// Makes a connector of an account that has only the payment gateway.
fn gateway_only(origin: &str, settings: &Value) -> Box<dyn Connector> {
    let credentials = json!({
        "key_id": "rzp_live_key", "key_secret": "s3cret",
        "webhook_secrets": ["new secret", "old secret"]
    });
    connector(Gateway::Razorpay, origin, &credentials, settings).unwrap()
}

/// Returns the connector's response to a call that gets this reply.
async fn answered(
    status: u16,
    headers: &'static str,
    body: &str,
    details: &Details,
    consent: Option<&Consent>,
) -> Result<GatewayResponse, CallFailure> {
    let server = ScriptedServer::responding(status, headers, body).await;
    let razorpay = razorpay(&server.origin, &json!({}));
    let reference = reference();
    razorpay
        .verify(&call(razorpay.as_ref(), &reference, details, consent))
        .await
}
