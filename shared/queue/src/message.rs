//! The message formats: due validations and their traces, and merchants with due deliveries. Messages have a type and a version,
//! so that an old worker rejects a message that it does not know.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use khata_domain::{MerchantId, ValidationId, ValidationKey};

/// The wake-up of one validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    pub key: ValidationKey,
    /// W3C trace context of the account's trace; in a message, of the publish span, if the trace is recorded.
    pub trace_parent: Option<String>,
}

/// The merchants with deliveries of events that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDeliveries {
    pub merchants: Vec<MerchantId>,
}

/// A message that is not Khata's, or has a version that this build does not know.
#[derive(Debug, thiserror::Error)]
#[error("unreadable message: {0}")]
pub struct MessageError(String);

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'a str,
    validations: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct DeliveriesEnvelope<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'a str,
    merchants: Vec<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    m: Uuid,
    v: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<String>,
}

const VERSION: u8 = 1;
const KIND: &str = "validations.due";
const DELIVERIES_KIND: &str = "deliveries.due";

pub(super) fn encode(wakeups: impl Iterator<Item = Wakeup>) -> Vec<u8> {
    let validations = wakeups
        .map(|wakeup| Entry {
            m: wakeup.key.merchant.0,
            v: wakeup.key.id.0,
            t: wakeup.trace_parent,
        })
        .collect();
    serde_json::to_vec(&Envelope {
        v: VERSION,
        kind: KIND,
        validations,
    })
    .unwrap_or_default()
}

impl Wakeup {
    /// Parses the body of a message.
    pub fn decode(body: &[u8]) -> Result<Vec<Self>, MessageError> {
        let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(unreadable)?;
        check(envelope.v, envelope.kind, KIND)?;
        Ok(envelope
            .validations
            .into_iter()
            .map(|entry| Self {
                key: ValidationKey {
                    merchant: MerchantId(entry.m),
                    id: ValidationId(entry.v),
                },
                trace_parent: entry.t,
            })
            .collect())
    }
}

impl DueDeliveries {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&DeliveriesEnvelope {
            v: VERSION,
            kind: DELIVERIES_KIND,
            merchants: self.merchants.iter().map(|merchant| merchant.0).collect(),
        })
        .unwrap_or_default()
    }

    /// Parses the body of a message.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let envelope: DeliveriesEnvelope<'_> = serde_json::from_slice(body).map_err(unreadable)?;
        check(envelope.v, envelope.kind, DELIVERIES_KIND)?;
        let merchants = envelope.merchants.into_iter().map(MerchantId).collect();
        Ok(Self { merchants })
    }
}

/// The body may hold anything, so the error has the position and not the content.
#[allow(clippy::needless_pass_by_value, reason = "the form of map_err")]
fn unreadable(error: serde_json::Error) -> MessageError {
    MessageError(format!("not a Khata message, column {}", error.column()))
}

fn check(version: u8, kind: &str, wanted: &str) -> Result<(), MessageError> {
    if version == VERSION && kind == wanted {
        return Ok(());
    }
    Err(MessageError(format!("version {version} of another kind")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_decodes_to_its_wakeups() {
        let key = ValidationKey {
            merchant: MerchantId::new(),
            id: ValidationId::new(),
        };
        let wakeup = Wakeup {
            key,
            trace_parent: Some("00-1-2-01".into()),
        };
        assert_eq!(
            Wakeup::decode(&encode(std::iter::once(wakeup.clone()))).unwrap(),
            [wakeup]
        );
    }

    #[test]
    fn a_message_decodes_to_its_merchants() {
        let due = DueDeliveries {
            merchants: vec![MerchantId::new(), MerchantId::new()],
        };
        let body = due.encode();
        assert_eq!(DueDeliveries::decode(&body).unwrap(), due);
        assert!(Wakeup::decode(&body).is_err(), "another type");
        let wakeup = encode(std::iter::empty());
        assert!(DueDeliveries::decode(&wakeup).is_err(), "another type");
    }

    #[test]
    fn other_versions_and_types_are_rejected() {
        for body in [
            "",
            "{}",
            r#"{"v":2,"type":"validations.due","validations":[]}"#,
            r#"{"v":1,"type":"x","validations":[]}"#,
        ] {
            assert!(Wakeup::decode(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Wakeup::decode(&body);
            let _ = DueDeliveries::decode(&body);
        }
    }
}
