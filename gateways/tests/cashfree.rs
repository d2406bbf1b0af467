//! Tests of Cashfree's connector over HTTP.

use khata_domain::Gateway;
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::support::connector;

mod bank;
mod check;
mod errors;
mod lost;
pub(crate) mod profiles;
mod two_factor;
mod upi;
mod webhook;
mod wire;

/// Makes a connector that calls this address.
fn cashfree(origin: &str, secret: &str, settings: &Value) -> Box<dyn Connector> {
    let credentials = json!({"client_id": "sandbox_client", "client_secret": secret});
    let base_url = format!("{origin}/verification");
    connector(Gateway::Cashfree, &base_url, &credentials, settings).unwrap()
}

impl Sandbox {
    fn cashfree(&self, settings: &Value) -> Box<dyn Connector> {
        cashfree(
            &format!("{}/cashfree", self.origin),
            "sandbox_secret",
            settings,
        )
    }

    fn cashfree_with_secret(&self, secret: &str) -> Box<dyn Connector> {
        cashfree(&format!("{}/cashfree", self.origin), secret, &json!({}))
    }
}
