//! Tests of PayU's connector over HTTP.

use khata_domain::Gateway;
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::scripted::{Reaction, ScriptedServer};
use crate::support::connector;

mod bank;
mod check;
pub(crate) mod profiles;
mod token;
mod vpa;

/// Makes a connector that calls this address, of an account with both products.
fn payu(origin: &str, settings: &Value) -> Box<dyn Connector> {
    let credentials = json!({
        "client_id": "client", "client_secret": "s3cret", "payout_merchant_id": "1111594",
        "key": "JPM7Fg", "salt": "salt"
    });
    connector(Gateway::Payu, origin, &credentials, settings).unwrap()
}

/// Returns PayU's reply with a token.
fn token(access_token: &str, expires_in: u64) -> Reaction {
    let body = json!({
        "access_token": access_token, "token_type": "Bearer", "expires_in": expires_in,
        "scope": "create_payout_transactions", "created_at": 1_585_215_909
    });
    Reaction::Respond(200, "", body.to_string())
}

/// Starts a server that gives a token and then sends this reply.
async fn responding(status: u16, headers: &'static str, body: &str) -> ScriptedServer {
    ScriptedServer::with_reactions(vec![
        token("t0ken", 7200),
        Reaction::Respond(status, headers, body.to_owned()),
    ])
    .await
}

/// Returns the lines of a request's head, and the fields of its form.
fn parts(request: &str) -> (Vec<&str>, Vec<(String, String)>) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let fields = body
        .split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace('+', " ").replace("%40", "@")))
        .collect();
    (head.lines().collect(), fields)
}

/// Returns the value of the only field of this name.
fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(one, _)| one == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} came twice");
    value
}
