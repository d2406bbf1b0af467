//! Tests of Decentro's connector over HTTP.

use khata_domain::{CallFailure, Details, Gateway, GatewayResponse};
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::support::{call, connector, good, reference};

mod bank;
mod check;
mod config;
mod lost;
pub(crate) mod profiles;

const TXN: &str = "DCTRTXA0123456789ABCDEF";

fn credentials() -> Value {
    json!({"client_id": "a-client", "client_secret": "s3cret"})
}

/// Makes a connector that calls this address.
fn decentro(origin: &str, settings: &Value) -> Box<dyn Connector> {
    connector(Gateway::Decentro, origin, &credentials(), settings).unwrap()
}

async fn verify(
    decentro: &dyn Connector,
    details: &Details,
) -> Result<GatewayResponse, CallFailure> {
    let reference = reference();
    decentro
        .verify(&call(decentro, &reference, details, None))
        .await
}

async fn lookup(
    decentro: &dyn Connector,
    gateway_reference: Option<&str>,
) -> Result<Option<GatewayResponse>, CallFailure> {
    let (details, reference) = (good(), reference());
    decentro
        .lookup(
            &call(decentro, &reference, &details, None),
            gateway_reference,
        )
        .await
}

/// Returns a reply with this status of the account.
fn account_reply(account_status: &str) -> Value {
    json!({
        "decentro_txn_id": TXN, "api_status": "SUCCESS", "response_key": "success_account_status_retrieved",
        "message": "…",
        "data": {"account_status": account_status, "beneficiary_name": "ASHA RAO", "validation_message": "…"}
    })
}

/// Returns a rejection with this key.
fn rejection(key: &str) -> Value {
    json!({"decentro_txn_id": TXN, "api_status": "FAILURE", "response_key": key, "message": "…", "data": {}})
}
