//! A message of a gateway, and the signatures of gateways.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use khata_domain::{Gateway, Method};
use sha2::Sha256;

const SECRET: &str = "a secret";

/// A message of a gateway whose outcome is valid.
pub(super) struct Message {
    pub(super) gateway: Gateway,
    pub(super) settings: &'static str,
    pub(super) method: Method,
    /// Whether the payee gave a UPI address, else a bank account.
    pub(super) is_upi: bool,
    pub(super) kind: Kind,
    pub(super) body: &'static str,
    /// JSON pointers of the fields that do not decide.
    pub(super) decorations: &'static [&'static str],
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Reply to the call for a token, and to the call that needs the token.
    Token,
    Call,
    Lookup,
    /// Signed with this timestamp, if its gateway signs one.
    Webhook(fn(&str, &[u8]) -> Headers),
}

/// Headers of a webhook.
pub(super) type Headers = Vec<(&'static str, String)>;

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn sign_cashfree(timestamp: &str, body: &[u8]) -> Headers {
    let tag = BASE64.encode(&hmac(&[timestamp.as_bytes(), body]));
    vec![
        ("x-webhook-signature", tag),
        ("x-webhook-timestamp", timestamp.to_owned()),
    ]
}

pub(super) fn sign_razorpay(_: &str, body: &[u8]) -> Headers {
    vec![("x-razorpay-signature", HEXLOWER.encode(&hmac(&[body])))]
}

pub(super) fn sign_setu(_: &str, body: &[u8]) -> Headers {
    vec![("x-setu-signature", BASE64.encode(&hmac(&[body])))]
}
