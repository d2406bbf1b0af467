//! Replies and webhooks of every gateway, in every flow.

mod message;
mod messages;
mod webhook;

use std::sync::OnceLock;
use std::time::Duration;

use chrono::Utc;
use khata_domain::{
    AccountNumber, BankAccount, CallFailure, Class, Consent, Details, Gateway, GatewayResponse,
    Ifsc, Vpa,
};
use khata_gateways::{Call, Connector, ConnectorConfig, connect, set_canned_reply};
use serde_json::Value;
use serde_json::value::RawValue;

use message::{Kind, Message};
use messages::messages;

/// Our reference in calls and webhooks.
const REFERENCE: &str = "kh00000000000000000000000001_01";
/// Place of the changed value in a reply.
const MARK: &str = "\"@@\"";
/// Reply to a call for a token.
const TOKEN: &[u8] = br#"{"access_token":"t","expires_in":"7200"}"#;

const CREDENTIALS: [(Gateway, &str); 5] = [
    (
        Gateway::Cashfree,
        r#"{"client_id":"a","client_secret":"a secret"}"#,
    ),
    (
        Gateway::Razorpay,
        r#"{"key_id":"a","key_secret":"b","webhook_secrets":["a secret"]}"#,
    ),
    (
        Gateway::Setu,
        r#"{"client_id":"a","client_secret":"b","product_instance_id":"c","umap":{"merchant_id":"M1","client_id":"a","client_secret":"b"},"webhook_secrets":["a secret"]}"#,
    ),
    (
        Gateway::Decentro,
        r#"{"client_id":"a","client_secret":"b"}"#,
    ),
    (
        Gateway::Payu,
        r#"{"client_id":"a","client_secret":"b","payout_merchant_id":"1","key":"a","salt":"b"}"#,
    ),
];

/// Statuses of replies. The first one is that of a reply whose outcome is valid.
const STATUSES: [u16; 12] = [200, 201, 400, 401, 404, 408, 409, 422, 500, 403, 429, 503];

/// Reads a body as a message of a gateway. The first byte chooses the message, the second one the part to change: the whole body,
/// with a status that this byte chooses too, which must neither panic nor count as "never sent", or a field that does not decide,
/// which must not change the outcome. Of a webhook it may also choose the timestamp, which is signed then, or a header.
pub fn gateway(data: &[u8]) {
    let [which, part, bytes @ ..] = data else {
        return;
    };
    let messages = messages();
    let place = usize::from(*which) % messages.len();
    let message = &messages[place];
    let at = (message, connectors()[place].as_ref());
    let (status, part) = {
        let (part, parts) = (usize::from(*part), message.decorations.len() + 1);
        let parts = parts + webhook::parts(message);
        (STATUSES[part / parts % STATUSES.len()], part % parts)
    };
    let body = message.body.replace("@now", &Utc::now().to_rfc3339());
    if let Some(header) = part.checked_sub(message.decorations.len() + 1) {
        webhook::check(at, header, body.as_bytes(), bytes);
    } else if let Some(pointer) = message.decorations.get(part) {
        let unchanged = read(at, STATUSES[0], body.as_bytes());
        assert_eq!(class(&unchanged), Some(Class::Valid), "{body}");
        let changed = read(at, STATUSES[0], &with_field(&body, pointer, bytes));
        assert_eq!(
            class(&changed),
            Some(Class::Valid),
            "{pointer}: {changed:?}"
        );
    } else {
        let read = read(at, status, bytes);
        // Without a token nothing is sent.
        let needs_token = matches!(message.kind, Kind::Token);
        let is_unsent = matches!(read, Err(CallFailure::NotSent(_)));
        assert!(!is_unsent || needs_token, "{status}: {read:?}");
        let is_never_seen = matches!((message.kind, &read), (Kind::Lookup, Ok(None)));
        let may_be = may_say_never_seen(message.gateway, status, bytes);
        assert!(!is_never_seen || may_be, "{status}");
    }
}

/// Whether a reply can say that the gateway has never seen a call: the status is one of such replies, and the body can hold a word
/// for it.
fn may_say_never_seen(gateway: Gateway, status: u16, bytes: &[u8]) -> bool {
    let statuses: &[u16] = match gateway {
        Gateway::Cashfree => &[404],
        Gateway::Decentro => &[200, 400, 404],
        Gateway::Razorpay | Gateway::Setu | Gateway::Payu | Gateway::Dummy => &[],
    };
    if !statuses.contains(&status) {
        return false;
    }
    let letters: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&letters).to_ascii_lowercase();
    text.contains("_found") || text.contains("\\u")
}

fn class(read: &Result<Option<GatewayResponse>, CallFailure>) -> Option<Class> {
    let response = read.as_ref().ok()?.as_ref()?;
    Some(response.class)
}

/// Returns the body with this field, whose value is the JSON of these bytes, or a text of them.
fn with_field(body: &str, pointer: &str, bytes: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(body).unwrap_or_default();
    if let Some(field) = value.pointer_mut(pointer) {
        *field = "@@".into();
    }
    let text = value.to_string();
    let (head, tail) = text.split_once(MARK).unwrap_or((&text, ""));
    let is_json = serde_json::from_slice::<&RawValue>(bytes).is_ok();
    let escaped = Value::from(String::from_utf8_lossy(bytes)).to_string();
    let field = if is_json { bytes } else { escaped.as_bytes() };
    [head.as_bytes(), field, tail.as_bytes()].concat()
}

/// Returns what the connector makes of a body with this status.
fn read(
    (message, connector): (&Message, &dyn Connector),
    status: u16,
    body: &[u8],
) -> Result<Option<GatewayResponse>, CallFailure> {
    let details = details(message.is_upi);
    let consent = Consent {
        obtained: true,
        purpose: "payout".to_owned(),
        timestamp: Utc::now(),
    };
    let call = Call {
        reference: REFERENCE,
        details: &details,
        method: message.method,
        consent: message.is_upi.then_some(&consent),
        attempt: 1,
        started_at: Utc::now(),
    };
    match message.kind {
        Kind::Webhook(sign) => {
            let headers = sign(&webhook::now(), body);
            Ok(webhook::read(connector, &headers, body))
        }
        Kind::Token => {
            // A connector that has no token yet.
            let connector = make_connector(message);
            set_canned_reply(status, body);
            run(connector.verify(&call)).map(Some)
        }
        Kind::Call => {
            fetch_token(message.gateway, connector, &call);
            set_canned_reply(status, body);
            run(connector.verify(&call)).map(Some)
        }
        Kind::Lookup => {
            fetch_token(message.gateway, connector, &call);
            set_canned_reply(status, body);
            run(connector.lookup(&call, Some("1")))
        }
    }
}

/// Lets the connector fetch a token, if it needs one, by a call whose result is not used.
fn fetch_token(gateway: Gateway, connector: &dyn Connector, call: &Call<'_>) {
    if matches!(gateway, Gateway::Payu | Gateway::Setu) {
        set_canned_reply(200, TOKEN);
        let _ = run(connector.verify(call));
    }
}

/// Returns the connector of each message.
fn connectors() -> &'static [Box<dyn Connector>] {
    static CONNECTORS: OnceLock<Vec<Box<dyn Connector>>> = OnceLock::new();
    CONNECTORS.get_or_init(|| messages().iter().map(make_connector).collect())
}

#[expect(
    clippy::expect_used,
    reason = "the credentials and settings are constants of this file"
)]
fn make_connector(message: &Message) -> Box<dyn Connector> {
    let credentials = CREDENTIALS
        .iter()
        .find(|(gateway, _)| *gateway == message.gateway);
    let settings: Value = serde_json::from_str(message.settings).unwrap_or_default();
    let config = ConnectorConfig {
        base_url: None,
        credentials: credentials.map(|(_, json)| json.as_bytes()),
        settings: &settings,
        http: &khata_gateways::client().expect("the client has no special settings"),
        sandbox_mode: true,
        longest_call: Duration::from_secs(10),
    };
    connect(message.gateway, &config).expect("the settings are right")
}

#[expect(clippy::expect_used, reason = "the texts are constants of this file")]
fn details(is_upi: bool) -> Details {
    if is_upi {
        return Details::Upi(Vpa::parse("asha@upi").expect("a UPI address"));
    }
    Details::Bank(BankAccount {
        ifsc: Ifsc::parse("HDFC0000001").expect("an IFSC"),
        account_number: AccountNumber::parse("00011020001772").expect("an account number"),
        beneficiary_name: None,
    })
}

#[expect(
    clippy::expect_used,
    reason = "a runtime without drivers always starts"
)]
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime starts").block_on(future)
}
