//! The request fields and bodies of the calls for webhook endpoints.

use khata_domain::account::ValueError;
use khata_domain::events::{EndpointId, EventName, Payload};
use khata_domain::text::{is_template, trim};
use khata_domain::{trimmed, words};
use khata_present::named_schema;
use khata_present::schema::enum_of;
use khata_webhooks::MAX_URL_LENGTH;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::field::{
    Encoding::{self, Form, Json},
    Field, Member, Rule, TextField, fields, object, optional, required,
};

/// Name in place of the names of all events, also of those that a later release adds.
pub(crate) const ALL_EVENTS: &str = "ALL";
pub(super) const URL_PATTERN: &str = trimmed!("[Hh][Tt][Tt][Pp][Ss]?://[!-~]+");
/// Longest user name and password, in characters; `khata-webhooks` bounds both together.
const MAX_CREDENTIAL: usize = 256;

words! {
    /// How Khata signs the webhooks of an endpoint.
    Signature {
        /// By HMAC-SHA256, with a secret that Khata and the merchant share.
        V1 = "v1",
        /// Also by Ed25519, for which the merchant has a public key.
        V1a = "v1a",
    }
}

fields! {
    ENDPOINT_URL: String = "url", Rule::Pattern(URL_PATTERN, Some(MAX_URL_LENGTH)),
        "Where Khata sends the webhooks: `https://`, a public host, port 443 or 1024 and above, without user, password and fragment. In sandbox mode also `http://` and addresses of this machine.",
        "https://hooks.example.com/khata", url;
    EVENT_NAMES = "event_names", Rule::EventNames,
        "Names of the events that the endpoint gets, or `ALL`, the default. In a form, with commas between them.";
    PAYLOAD: Payload = "payload", Rule::Words(&["FULL", "MASKED", "THIN"]),
        "`FULL` (default): the account as the replies show it. `MASKED`: with masked numbers and addresses, and without names, UTR and metadata. `THIN`: ids, status and version.",
        "", |text| Payload::parse(trim(text)).ok_or(ValueError::Form("must be FULL, MASKED or THIN"));
    IS_ORDERED = "is_ordered", Rule::Flag,
        "Whether the events of an account come in the order of its versions, each once the event before was accepted or given up; default true. `false` is faster where calls fail.";
    CONCURRENCY = "concurrency", Rule::Number(1..=256), "Most calls at once; default 32.";
    CALLS_PER_SECOND = "calls_per_second", Rule::Number(0..=10_000), "Most calls in a second; 0, the default: no limit.";
    ALLOW_URL_PER_ACCOUNT = "allow_url_per_account", Rule::Flag,
        "Whether *create accounts* may name another URL with this scheme, host and port as `webhook_url`; default false.";
    SIGNATURE: Signature = "signature", Rule::Words(&["v1", "v1a"]),
        "`v1` (default): webhooks are signed by HMAC-SHA256. `v1a`: also by Ed25519; the reply has `public_key`. Both as Standard Webhooks 1.0.0 defines them.",
        "", |text| Signature::parse(trim(text)).ok_or(ValueError::Form("must be v1 or v1a, in lower case"));
    BASIC_USER: String = "basic_user", Rule::MayBeEmpty("^[^:\\x00-\\x1f\\x7f]*$", Some(MAX_CREDENTIAL)),
        "User name of HTTP Basic credentials that Khata sends to the endpoint. An empty one takes the credentials away.",
        "", |text| credential(text, true);
    BASIC_PASSWORD: String = "basic_password", Rule::Pattern("^[^\\x00-\\x1f\\x7f]*$", Some(MAX_CREDENTIAL)),
        "Password of these credentials; requires `basic_user`.", "", |text| credential(text, false);
    PREVIOUS_SECRET_HOURS = "previous_secret_hours", Rule::Number(0..=168),
        "Hours for which the secret or the key pair before signs, too; default 24. With 0 it stops at once.";
    REPLACED: Signature = "signature", Rule::Words(&["v1", "v1a"]),
        "What is replaced. `v1` (default): the secret. `v1a`: the key pair, which the endpoint must have.",
        "", |text| Signature::parse(trim(text)).ok_or(ValueError::Form("must be v1 or v1a, in lower case"));
    REPLAY_ENDPOINT: EndpointId = "endpoint_id", Rule::Pattern(trimmed!("whe_[0-7][0-9a-v]{25}"), None),
        "The endpoint that gets the event again; default: every enabled endpoint that wants it.", "",
        |text| EndpointId::parse(trim(text)).ok_or(ValueError::Form("must be the id of a webhook endpoint: whe_ and 26 characters"));
}

/// The fields of *create webhook endpoint*, and of *change webhook endpoint*.
pub(crate) static ENDPOINT_FIELDS: [&Field; 10] = [
    &ENDPOINT_URL.field,
    &EVENT_NAMES,
    &PAYLOAD.field,
    &IS_ORDERED,
    &CONCURRENCY,
    &CALLS_PER_SECOND,
    &ALLOW_URL_PER_ACCOUNT,
    &SIGNATURE.field,
    &BASIC_USER.field,
    &BASIC_PASSWORD.field,
];
/// The fields of *rotate secret*.
pub(crate) static ROTATE_FIELDS: [&Field; 2] = [&PREVIOUS_SECRET_HOURS, &REPLACED.field];
/// The fields of *replay event*.
pub(crate) static REPLAY_FIELDS: [&Field; 1] = [&REPLAY_ENDPOINT.field];

/// Takes the text, unless its host, a part of its path or a value of its query is a placeholder; the reader of the request parses
/// it, because sandbox mode permits more.
pub(super) fn url(text: &str) -> Result<String, ValueError> {
    let url = trim(text);
    let is_placeholder = |part: &str| {
        let name = part.split_once(':').map_or(part, |(name, _)| name);
        ["undefined", "null"]
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word))
            || is_template(part)
    };
    if url.split(['/', '?', '&', '=']).any(is_placeholder) {
        return Err(ValueError::Placeholder(
            "has a placeholder that was not filled in: send the whole URL",
        ));
    }
    Ok(url.to_owned())
}

/// Accepts a user name, which ends at the first colon, or a password. Blanks at the ends belong to it.
fn credential(text: &str, is_user: bool) -> Result<String, ValueError> {
    let fits = text.chars().count() <= MAX_CREDENTIAL
        && !text.bytes().any(|byte| byte.is_ascii_control())
        && !(is_user && text.contains(':'));
    fits.then(|| text.to_owned())
        .ok_or(ValueError::Form(if is_user {
            "must be at most 256 characters without colons and control characters"
        } else {
            "must be at most 256 characters without control characters"
        }))
}

/// The words of `event_names`. A test goes to its endpoint alone.
fn event_choices() -> impl Iterator<Item = &'static str> {
    let names = EventName::ALL
        .iter()
        .filter(|name| **name != EventName::EndpointTest);
    std::iter::once(ALL_EVENTS).chain(names.map(|name| name.as_str()))
}

fn create(encoding: Encoding) -> RefOr<Schema> {
    let [url, others @ ..] = &ENDPOINT_FIELDS;
    let others = others.iter().map(|field| optional(field));
    let members: Vec<Member> = std::iter::once(required(url)).chain(others).collect();
    object(encoding, "A webhook endpoint.", Some(example()), &members)
}

fn change(encoding: Encoding) -> RefOr<Schema> {
    let members = ENDPOINT_FIELDS.map(optional);
    let text = "Every field is optional; what is absent stays as it is.";
    object(encoding, text, Some(json!({ "concurrency": 16 })), &members)
}

fn example() -> Value {
    json!({ "url": "https://hooks.example.com/khata" })
}

named_schema! {
    pub(crate) CreateEndpointForm = create(Form);
    pub(crate) CreateEndpointJson = create(Json);
    pub(crate) ChangeEndpointForm = change(Form);
    pub(crate) ChangeEndpointJson = change(Json);
    pub(crate) RotateSecretBody = object(Json, "What is replaced, and until when the one before signs.", Some(json!({ "previous_secret_hours": 24 })), &ROTATE_FIELDS.map(optional));
    pub(crate) ReplayBody = object(Json, "Which endpoint gets the event again.", None, &[optional(&REPLAY_ENDPOINT)]);
    pub(crate) EventChoice = enum_of("Name of an event, or `ALL`: every event, also those of later releases.", event_choices());
    pub(crate) SignatureWord = enum_of("How the webhooks are signed.", Signature::ALL.iter().map(|one| one.as_str()));
}
