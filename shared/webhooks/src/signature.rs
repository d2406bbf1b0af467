//! Signatures by the Standard Webhooks specification 1.0.0, sections "Signature scheme" and "Webhook headers".

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ed25519_dalek::{KEYPAIR_LENGTH, SECRET_KEY_LENGTH, Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const SYMMETRIC_PREFIX: &str = "whsec_";
const ASYMMETRIC_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// Length of a generated symmetric secret in bytes.
const SECRET_LENGTH: usize = 32;
/// Lengths that the specification allows for a symmetric secret, in bytes.
const MIN_SECRET_LENGTH: usize = 24;
const MAX_SECRET_LENGTH: usize = 64;
/// Maximum length of a secret's text: prefix and base64 of 64 bytes.
const MAX_TEXT_LENGTH: usize = SYMMETRIC_PREFIX.len() + 88;
/// Maximum length of an event's id.
const MAX_ID_LENGTH: usize = 64;

/// Text that is not a webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook secret must be whsec_ and base64 of 24 to 64 bytes, or whsk_ and base64 of an Ed25519 private key with its \
     public key (64 bytes)"
)]
pub struct SecretError;

/// An id that no webhook may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's id must be 1 to {MAX_ID_LENGTH} ASCII letters, digits, hyphens or underscores"
)]
pub struct MessageIdError;

/// What one attempt sends and signs. The body has the same bytes in every attempt.
#[derive(Clone)]
pub struct OutgoingMessage {
    id: String,
    timestamp: i64,
    body: Bytes,
}

impl OutgoingMessage {
    /// Makes the message of an attempt that begins at `sent_at`. The id is the event's, the same in every attempt. It holds no
    /// full stop, so that no other id, time and body give the same signed bytes.
    pub fn new(id: &str, sent_at: DateTime<Utc>, body: Bytes) -> Result<Self, MessageIdError> {
        let is_valid = (1..=MAX_ID_LENGTH).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_valid {
            return Err(MessageIdError);
        }
        Ok(Self {
            id: id.to_owned(),
            timestamp: sent_at.timestamp(),
            body,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the Unix time in seconds.
    pub(crate) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the signed bytes: id, time and body, with full stops between them.
    fn signed(&self) -> Vec<u8> {
        let mut signed = format!("{}.{}.", self.id, self.timestamp).into_bytes();
        signed.extend_from_slice(&self.body);
        signed
    }
}

impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMessage")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// The members of an Ed25519 public key as a JSON Web Key (RFC 7517, RFC 8037) that depend on the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebKey {
    /// The 32 bytes of the key, as base64url without padding.
    pub x: String,
    /// Thumbprint of the key (RFC 7638, SHA-256), as base64url without padding.
    pub kid: String,
}

/// A secret that signs webhooks. Its memory is wiped when it is dropped, and `Debug` hides it.
pub struct WebhookSecret(Key);

enum Key {
    /// HMAC-SHA256, `v1`: the endpoint has the same secret.
    Symmetric(Zeroizing<Vec<u8>>),
    /// Ed25519, `v1a`: the endpoint has the public key. In a box, so that later moves leave no copies in memory.
    Asymmetric(Box<SigningKey>),
}

impl WebhookSecret {
    /// Generates a symmetric secret of 32 random bytes.
    pub fn generate_symmetric() -> Self {
        let mut bytes = Zeroizing::new(vec![0; SECRET_LENGTH]);
        rand::rng().fill_bytes(&mut bytes);
        Self(Key::Symmetric(bytes))
    }

    /// Generates an Ed25519 key pair.
    pub fn generate_asymmetric() -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_KEY_LENGTH]);
        rand::rng().fill_bytes(&mut bytes[..]);
        Self(Key::Asymmetric(Box::new(SigningKey::from_bytes(&bytes))))
    }

    /// Parses the text that [`Self::expose`] returns.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if let Some(text) = text.strip_prefix(SYMMETRIC_PREFIX) {
            let bytes = decode(text)?;
            if bytes.len() < MIN_SECRET_LENGTH {
                return Err(SecretError);
            }
            Ok(Self(Key::Symmetric(bytes)))
        } else if let Some(text) = text.strip_prefix(ASYMMETRIC_PREFIX) {
            let bytes = decode(text)?;
            let pair: &[u8; KEYPAIR_LENGTH] = bytes[..].try_into().map_err(|_| SecretError)?;
            let key = SigningKey::from_keypair_bytes(pair).map_err(|_| SecretError)?;
            Ok(Self(Key::Asymmetric(Box::new(key))))
        } else {
            Err(SecretError)
        }
    }

    /// Returns the secret as text: `whsec_…`, which the merchant gets, or `whsk_…`, which stays with Khata. A `whsk_` text
    /// holds the private key and then the public key, 32 bytes each, as the Svix server has it
    /// (https://github.com/svix/svix-webhooks, README, "Asymmetric signatures").
    pub fn expose(&self) -> Zeroizing<String> {
        // The capacity is enough: text that grows leaves copies in memory.
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT_LENGTH));
        match &self.0 {
            Key::Symmetric(bytes) => {
                text.push_str(SYMMETRIC_PREFIX);
                STANDARD.encode_string(&bytes[..], &mut text);
            }
            Key::Asymmetric(key) => {
                text.push_str(ASYMMETRIC_PREFIX);
                let pair = Zeroizing::new(key.to_keypair_bytes());
                STANDARD.encode_string(&pair[..], &mut text);
            }
        }
        text
    }

    /// Returns the public key as text, `whpk_…`; `None` for a symmetric secret.
    pub fn public_key(&self) -> Option<String> {
        match &self.0 {
            Key::Symmetric(_) => None,
            Key::Asymmetric(key) => {
                let key = STANDARD.encode(key.verifying_key().as_bytes());
                Some(format!("{PUBLIC_PREFIX}{key}"))
            }
        }
    }

    /// Returns the public key as a JSON Web Key has it; `None` for a symmetric secret.
    pub fn web_key(&self) -> Option<WebKey> {
        let Key::Asymmetric(key) = &self.0 else {
            return None;
        };
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let required = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(required));
        Some(WebKey { x, kid })
    }

    /// Returns the signature: `v1,…` or `v1a,…`.
    fn sign(&self, signed: &[u8]) -> String {
        match &self.0 {
            Key::Symmetric(key) => {
                #[allow(clippy::expect_used)]
                let mut mac =
                    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
                mac.update(signed);
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            }
            Key::Asymmetric(key) => {
                format!("v1a,{}", STANDARD.encode(key.sign(signed).to_bytes()))
            }
        }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match &self.0 {
            Key::Symmetric(_) => SYMMETRIC_PREFIX,
            Key::Asymmetric(_) => ASYMMETRIC_PREFIX,
        };
        write!(f, "WebhookSecret({prefix}***)")
    }
}

/// Decodes base64 of at most 64 bytes.
fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    // The decoder asks for whole groups of three bytes.
    let mut buffer = Zeroizing::new([0; MAX_SECRET_LENGTH.next_multiple_of(3)]);
    let decoded = STANDARD.decode_slice(text, &mut buffer[..]);
    let length = decoded.map_err(|_| SecretError)?;
    if length > MAX_SECRET_LENGTH {
        return Err(SecretError);
    }
    Ok(Zeroizing::new(buffer[..length].to_vec()))
}

/// The secrets of an endpoint: the newest one, further ones, and replaced ones until their ends.
#[derive(Debug)]
pub struct WebhookSecrets {
    newest: WebhookSecret,
    /// Each with the Unix time in seconds from which it signs no more.
    others: Vec<(WebhookSecret, Option<i64>)>,
}

impl WebhookSecrets {
    /// Takes the secrets that sign every message, the newest first.
    pub fn new(newest: WebhookSecret, others: Vec<WebhookSecret>) -> Self {
        let others = others.into_iter().map(|secret| (secret, None));
        Self {
            newest,
            others: others.collect(),
        }
    }

    /// Adds a replaced secret: it signs the messages of the attempts that begin before `until`.
    #[must_use]
    pub fn and_replaced(mut self, secret: WebhookSecret, until: DateTime<Utc>) -> Self {
        self.others.push((secret, Some(until.timestamp())));
        self
    }

    /// Returns the value of the header `webhook-signature`: one signature for each secret that signs at the message's time, with
    /// spaces between them. An endpoint accepts a webhook if one of them matches.
    pub fn sign(&self, message: &OutgoingMessage) -> String {
        let signed = message.signed();
        let others = self.others.iter();
        let others =
            others.filter(|(_, until)| until.is_none_or(|until| message.timestamp < until));
        let secrets = std::iter::once(&self.newest).chain(others.map(|(secret, _)| secret));
        let signatures: Vec<String> = secrets.map(|secret| secret.sign(&signed)).collect();
        signatures.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};

    use super::*;

    /// Secret, id, time, body and signature from the tests of https://github.com/standard-webhooks/standard-webhooks
    /// (libraries/rust/src/lib.rs), and from those of https://github.com/svix/svix-webhooks (worker.rs), which the
    /// specification quotes as its example of `v1a`.
    const VECTORS: [(&str, &str, i64, &str, &str); 3] = [
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ];

    fn message(id: &str, time: i64, body: &'static str) -> OutgoingMessage {
        let sent_at = DateTime::from_timestamp(time, 999_000_000).unwrap();
        OutgoingMessage::new(id, sent_at, Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn signatures_equal_those_of_the_published_vectors() {
        for (secret, id, time, body, signature) in VECTORS {
            let secret = WebhookSecret::parse(secret).unwrap();
            let secrets = WebhookSecrets::new(secret, Vec::new());
            assert_eq!(secrets.sign(&message(id, time, body)), signature);
        }
    }

    #[test]
    fn the_newest_secret_signs_first() {
        let [symmetric, other, asymmetric] = VECTORS.map(|(secret, ..)| secret);
        let (_, id, time, body, v1a) = VECTORS[2];
        let secrets =
            [asymmetric, other, symmetric].map(|text| WebhookSecret::parse(text).unwrap());
        let [newest, second, oldest] = secrets;
        let header =
            WebhookSecrets::new(newest, vec![second, oldest]).sign(&message(id, time, body));
        let signatures: Vec<&str> = header.split(' ').collect();
        assert_eq!(signatures[..2], [v1a, VECTORS[1].4]);
        assert!(signatures[2].starts_with("v1,") && signatures.len() == 3);
    }

    #[test]
    fn a_replaced_secret_signs_until_its_end() {
        let [_, secret, replaced] =
            VECTORS.map(|(secret, ..)| WebhookSecret::parse(secret).unwrap());
        let (_, id, time, body, _) = VECTORS[2];
        let until = DateTime::from_timestamp(time + 1, 0).unwrap();
        let secrets = WebhookSecrets::new(secret, Vec::new()).and_replaced(replaced, until);
        let both = format!("{} {}", VECTORS[1].4, VECTORS[2].4);
        assert_eq!(secrets.sign(&message(id, time, body)), both);
        let later = secrets.sign(&message(id, time + 1, body));
        assert!(later.starts_with("v1,") && !later.contains(' '), "{later}");
    }

    #[test]
    fn a_web_key_has_the_thumbprint_of_rfc_8037() {
        // Appendix A.1 to A.3 of RFC 8037.
        let private = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let private = URL_SAFE_NO_PAD.decode(private).unwrap();
        let key = SigningKey::from_bytes(&private.try_into().unwrap());
        let secret = WebhookSecret(Key::Asymmetric(Box::new(key)));
        let key = secret.web_key().unwrap();
        assert_eq!(key.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(WebhookSecret::generate_symmetric().web_key().is_none());
    }

    #[test]
    fn the_public_key_verifies_what_its_private_key_signs() {
        let secret = WebhookSecret::generate_asymmetric();
        let public_key = secret.public_key().unwrap();
        let key = STANDARD
            .decode(public_key.strip_prefix("whpk_").unwrap())
            .unwrap();
        let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();
        let message = message("evt_1", 1_700_000_000, "{}");
        let header = WebhookSecrets::new(secret, Vec::new()).sign(&message);
        let signature = STANDARD
            .decode(header.strip_prefix("v1a,").unwrap())
            .unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        key.verify_strict(b"evt_1.1700000000.{}", &signature)
            .unwrap();
        assert!(
            key.verify_strict(b"evt_1.1700000000.{} ", &signature)
                .is_err()
        );
    }

    #[test]
    fn a_public_key_has_the_form_of_the_specification() {
        let [symmetric, _, asymmetric] = VECTORS.map(|(secret, ..)| secret);
        let public_key = |text: &str| WebhookSecret::parse(text).unwrap().public_key();
        assert_eq!(
            public_key(asymmetric).as_deref(),
            Some("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
        );
        assert_eq!(public_key(symmetric), None);
    }

    #[test]
    fn generated_secrets_are_random_and_parse() {
        for generate in [
            WebhookSecret::generate_symmetric,
            WebhookSecret::generate_asymmetric,
        ] {
            let (one, two) = (generate().expose(), generate().expose());
            assert_ne!(one, two);
            assert!(one.len() <= MAX_TEXT_LENGTH);
            assert_eq!(WebhookSecret::parse(&one).unwrap().expose(), one);
        }
        let text = WebhookSecret::generate_symmetric().expose();
        assert_eq!(STANDARD.decode(&text[6..]).unwrap().len(), 32);
    }

    #[test]
    fn debug_hides_secrets_and_bodies() {
        let secret = WebhookSecret::generate_symmetric();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(whsec_***)");
        let secrets = WebhookSecrets::new(WebhookSecret::generate_asymmetric(), vec![secret]);
        assert_eq!(
            format!("{secrets:?}"),
            "WebhookSecrets { newest: WebhookSecret(whsk_***), others: [(WebhookSecret(whsec_***), None)] }"
        );
        assert!(!format!("{:?}", message("evt_1", 1, "personal")).contains("personal"));
    }

    #[test]
    fn secrets_of_another_form_are_refused() {
        let of_length =
            |prefix: &str, length| format!("{prefix}{}", STANDARD.encode(vec![7; length]));
        for length in [24, 32, 64] {
            assert!(WebhookSecret::parse(&of_length("whsec_", length)).is_ok());
        }
        let pair = VECTORS[2].0;
        for text in [
            String::new(),
            "whsec_".into(),
            of_length("", 32),
            of_length("whsec_", 23),
            of_length("whsec_", 65),
            of_length("whsec_", 66),
            of_length("whsec_", 200),
            of_length("whpk_", 32),
            of_length("whsk_", 32),
            // The public half belongs to another key.
            of_length("whsk_", 64),
            pair.replace("whsk_", "hwsk_"),
            pair.replace("==", ""),
            "whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD".into(),
        ] {
            assert!(WebhookSecret::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_hold_no_full_stop() {
        let parse = |id: &str| OutgoingMessage::new(id, Utc::now(), Bytes::new());
        for id in ["evt_01k82u7s7aeqraoh1tia1a3hc8", "a-b", &"x".repeat(64)] {
            assert!(parse(id).is_ok(), "{id}");
        }
        for id in ["", "a.b", "a b", "a\n", "é", &"x".repeat(65)] {
            assert_eq!(parse(id).unwrap_err(), MessageIdError, "{id}");
        }
    }
}
