//! Replies and webhooks of every gateway, in every flow.

use std::sync::OnceLock;
use std::time::Duration;

use chrono::Utc;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use khata_domain::{
    AccountNumber, BankAccount, CallFailure, Class, Details, Gateway, GatewayResponse, Ifsc,
    Method, Vpa,
};
use khata_gateways::{Call, Connector, ConnectorConfig, WebhookRequest, connect, set_canned_reply};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::Sha256;

/// Our reference in calls and webhooks.
const REFERENCE: &str = "kh00000000000000000000000001_01";
const SECRET: &str = "a secret";
/// Place of the changed value in a reply.
const MARK: &str = "\"@@\"";

/// A message of a gateway whose outcome is valid.
struct Message {
    gateway: Gateway,
    settings: &'static str,
    method: Method,
    kind: Kind,
    body: &'static str,
    /// JSON pointers of the fields that do not decide.
    decorations: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Kind {
    Call,
    Lookup,
    Webhook(fn(&[u8]) -> Vec<(&'static str, String)>),
}

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
        r#"{"client_id":"a","client_secret":"b","product_instance_id":"c","umap":{"merchant_id":"M1","token":"t"},"webhook_secrets":["a secret"]}"#,
    ),
    (
        Gateway::Decentro,
        r#"{"client_id":"a","client_secret":"b"}"#,
    ),
    (Gateway::Payu, r#"{"key":"a","salt":"b"}"#),
];

const CASHFREE: &str = r#"{"reference_id":34,"name_at_bank":"ASHA RAO","utr":"395137559835","name_match_score":"90.00","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID","ifsc_details":{"micr":1}}"#;
const CASHFREE_DECORATIONS: &[&str] = &[
    "/reference_id",
    "/name_at_bank",
    "/utr",
    "/name_match_score",
    "/ifsc_details",
];
const RAZORPAY: &str = r#"{"id":"fav_1","status":"completed","utr":"395137559835","reference_id":"kh00000000000000000000000001_01","validation_results":{"account_status":"active","registered_name":"ASHA RAO","name_match_score":90,"bank_account":{"account_type":"savings"}},"status_details":{"reason":"validation_completed"},"fund_account":{"account_type":"bank_account"},"notes":[]}"#;
const RAZORPAY_DECORATIONS: &[&str] = &[
    "/utr",
    "/validation_results/registered_name",
    "/validation_results/name_match_score",
    "/validation_results/bank_account",
    "/validation_results/bank_account/account_type",
    "/notes",
];
const SETU: &str = r#"{"id":"02c2dc4c","code":"BAV00","verification":"success","message":"ok","data":{"name":"ASHA RAO","transactionReference":"120716373986"},"traceId":"1-2"}"#;
const SETU_DECORATIONS: &[&str] = &[
    "/message",
    "/data",
    "/data/name",
    "/data/transactionReference",
    "/traceId",
];

fn messages() -> Vec<Message> {
    use Gateway::{Cashfree, Decentro, Payu, Razorpay, Setu};
    use Kind::{Call, Lookup, Webhook};
    use Method::{Penniless, PennyDrop, VpaLookup};
    let message = |(gateway, settings, method), kind, body, decorations| Message {
        gateway,
        settings,
        method,
        kind,
        body,
        decorations,
    };
    let razorpay = (Razorpay, r#"{"source_account_number":"1"}"#, PennyDrop);
    let upi = r#"{"reference_id":1,"status":"VALID","name_at_bank":"ASHA RAO","utr":"1"}"#;
    vec![
        message(
            (Cashfree, "{}", PennyDrop),
            Call,
            CASHFREE,
            CASHFREE_DECORATIONS,
        ),
        message(
            (Cashfree, "{}", PennyDrop),
            Lookup,
            CASHFREE,
            CASHFREE_DECORATIONS,
        ),
        message(
            (Cashfree, "{}", PennyDrop),
            Webhook(sign_cashfree),
            r#"{"event_type":"BANK_ACCOUNT_VERIFICATION_SUCCESS","event_time":"now","version":"v2","data":{"user_id":"kh00000000000000000000000001_01","reference_id":34,"name_at_bank":"ASHA RAO","utr":"1","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID"}}"#,
            &[
                "/event_time",
                "/version",
                "/data/reference_id",
                "/data/name_at_bank",
                "/data/utr",
            ],
        ),
        message(
            (Cashfree, "{}", VpaLookup),
            Call,
            upi,
            &["/reference_id", "/name_at_bank", "/utr"],
        ),
        message(razorpay, Call, RAZORPAY, RAZORPAY_DECORATIONS),
        message(razorpay, Lookup, RAZORPAY, RAZORPAY_DECORATIONS),
        message(
            razorpay,
            Webhook(sign_razorpay),
            r#"{"entity":"event","event":"fund_account.validation.completed","payload":{"fund_account.validation":{"entity":{"id":"fav_1","status":"completed","utr":"1","reference_id":"kh00000000000000000000000001_01","results":{"account_status":"active","registered_name":"ASHA RAO"},"fund_account":{"account_type":"bank_account"}}}},"created_at":1}"#,
            &[
                "/entity",
                "/created_at",
                "/payload/fund_account.validation/entity/utr",
                "/payload/fund_account.validation/entity/results/registered_name",
            ],
        ),
        message(
            (Razorpay, "{}", VpaLookup),
            Call,
            r#"{"vpa":"asha@upi","success":true,"customer_name":"ASHA RAO"}"#,
            &["/vpa", "/customer_name"],
        ),
        message(
            (Setu, r#"{"bank_flow":"sync"}"#, PennyDrop),
            Call,
            SETU,
            SETU_DECORATIONS,
        ),
        message((Setu, "{}", PennyDrop), Lookup, SETU, SETU_DECORATIONS),
        message(
            (Setu, r#"{"methods":["PENNILESS"]}"#, Penniless),
            Call,
            r#"{"status":"SUCCESS","data":{"bankAccountName":"ASHA RAO","ifscCrossCheck":true},"traceId":"1"}"#,
            &[
                "/data",
                "/data/bankAccountName",
                "/data/ifscCrossCheck",
                "/traceId",
            ],
        ),
        message(
            (Setu, "{}", VpaLookup),
            Lookup,
            r#"{"id":"1","status":"valid","customerName":"ASHA RAO","customerAccountType":"SAVINGS","reason":{}}"#,
            &["/id", "/customerName", "/customerAccountType", "/reason"],
        ),
        message(
            (Setu, "{}", VpaLookup),
            Webhook(sign_setu),
            r#"{"eventTs":"@now","eventType":"customer_vpa.valid","status":"valid","merchantId":"M1","merchantReferenceId":"kh00000000000000000000000001_01","id":"1","customerName":"ASHA RAO","customerAccountType":"SAVINGS","reason":{}}"#,
            &["/id", "/customerName", "/customerAccountType", "/reason"],
        ),
        message(
            (Decentro, r#"{"consumer_urn":"a"}"#, PennyDrop),
            Call,
            r#"{"decentro_txn_id":"D1","api_status":"SUCCESS","response_key":"success","message":"ok","data":{"account_status":"VALID","beneficiary_name":"ASHA RAO","bank_reference_number":"1"}}"#,
            &[
                "/decentro_txn_id",
                "/api_status",
                "/response_key",
                "/message",
                "/data/beneficiary_name",
                "/data/bank_reference_number",
            ],
        ),
        message(
            (Decentro, r#"{"consumer_urn":"a"}"#, PennyDrop),
            Lookup,
            r#"{"decentro_txn_id":"D1","api_status":"SUCCESS","response_key":"success","data":{"account_status":"VALID","beneficiary_name":"ASHA RAO"}}"#,
            &["/decentro_txn_id", "/data/beneficiary_name"],
        ),
        message(
            (Payu, "{}", VpaLookup),
            Call,
            r#"{"status":"SUCCESS","vpa":"asha@upi","isVPAValid":1,"payerAccountName":"ASHA RAO"}"#,
            &["/vpa", "/payerAccountName"],
        ),
    ]
}

/// Reads a body as a message of a gateway. The first byte chooses the message, the second one the part to change: the whole body,
/// which must neither panic nor count as "never sent", or a field that does not decide, which must not change the outcome.
pub fn gateway(data: &[u8]) {
    let [which, part, bytes @ ..] = data else {
        return;
    };
    let messages = messages();
    let place = usize::from(*which) % messages.len();
    let message = &messages[place];
    let at = (message, connectors()[place].as_ref());
    let part = usize::from(*part) % (message.decorations.len() + 1);
    let body = message.body.replace("@now", &Utc::now().to_rfc3339());
    if let Some(pointer) = message.decorations.get(part) {
        let unchanged = read(at, body.as_bytes());
        assert_eq!(class(&unchanged), Some(Class::Valid), "{body}");
        let changed = read(at, &with_field(&body, pointer, bytes));
        assert_eq!(
            class(&changed),
            Some(Class::Valid),
            "{pointer}: {changed:?}"
        );
    } else {
        let read = read(at, bytes);
        assert!(!matches!(read, Err(CallFailure::NotSent(_))), "{read:?}");
    }
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

/// Returns what the connector makes of a body with status 200.
fn read(
    (message, connector): (&Message, &dyn Connector),
    body: &[u8],
) -> Result<Option<GatewayResponse>, CallFailure> {
    let details = details(message.method);
    let call = Call {
        reference: REFERENCE,
        details: &details,
        method: message.method,
        consent: None,
        attempt: 1,
        started_at: Utc::now(),
    };
    match message.kind {
        Kind::Webhook(sign) => {
            let headers = sign(body);
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let webhook = WebhookRequest {
                headers: &headers,
                body,
                received_at: Utc::now(),
            };
            let read = connector.webhook(&webhook).ok().flatten();
            Ok(read.and_then(|message| message.response))
        }
        Kind::Call => {
            set_canned_reply(200, body);
            run(connector.verify(&call)).map(Some)
        }
        Kind::Lookup => {
            set_canned_reply(200, body);
            run(connector.lookup(&call, Some("1")))
        }
    }
}

/// Returns the connector of each message.
fn connectors() -> &'static [Box<dyn Connector>] {
    static CONNECTORS: OnceLock<Vec<Box<dyn Connector>>> = OnceLock::new();
    CONNECTORS.get_or_init(|| messages().iter().map(connector).collect())
}

#[expect(
    clippy::expect_used,
    reason = "the credentials and settings are constants of this file"
)]
fn connector(message: &Message) -> Box<dyn Connector> {
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
fn details(method: Method) -> Details {
    if method == Method::VpaLookup {
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

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn sign_cashfree(body: &[u8]) -> Vec<(&'static str, String)> {
    let timestamp = Utc::now().timestamp_millis().to_string();
    let tag = BASE64.encode(&hmac(&[timestamp.as_bytes(), body]));
    vec![
        ("x-webhook-signature", tag),
        ("x-webhook-timestamp", timestamp),
    ]
}

fn sign_razorpay(body: &[u8]) -> Vec<(&'static str, String)> {
    vec![("x-razorpay-signature", HEXLOWER.encode(&hmac(&[body])))]
}

fn sign_setu(body: &[u8]) -> Vec<(&'static str, String)> {
    vec![("x-setu-signature", BASE64.encode(&hmac(&[body])))]
}
