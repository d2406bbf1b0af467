//! Cashfree.

use khata_domain::Gateway;
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::support::connector;

mod bank;
mod check;
mod errors;
mod lost;
mod two_factor;
mod upi;
mod webhook;
mod wire;

/// A connector to whatever listens there.
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
