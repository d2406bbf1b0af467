//! Tests of Setu's connector over HTTP: bank accounts at its data gateway, UPI addresses at UMAP.

use khata_domain::Gateway;
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::support::connector;

mod bank;
mod check;
mod config;
mod login;
pub(crate) mod profiles;
mod vpa;
mod webhook;

const ID: &str = "02c2dc4c-1015-4ea0-8ec4-987829fc70cc";
const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn credentials() -> Value {
    json!({
        "client_id": "a-client", "client_secret": "s3cret", "product_instance_id": "an-instance",
        "umap": {"merchant_id": ULID, "token": "a.t0ken"},
        "webhook_secrets": ["newsecret", "oldsecret"]
    })
}

/// Makes a connector that calls this address.
fn setu(origin: &str, settings: &Value) -> Box<dyn Connector> {
    setu_with(origin, &credentials(), settings)
}

fn setu_with(origin: &str, credentials: &Value, settings: &Value) -> Box<dyn Connector> {
    connector(Gateway::Setu, origin, credentials, settings).unwrap()
}
