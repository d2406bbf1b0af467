//! The message format: the due validations and their traces. Messages have a type and a version, so that an old worker
//! rejects a message that it does not know.

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
struct Entry {
    m: Uuid,
    v: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<String>,
}

const VERSION: u8 = 1;
const KIND: &str = "validations.due";

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
        // The body may hold anything, so the error has the position and not the content.
        let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
            MessageError(format!("not a Khata message, column {}", error.column()))
        })?;
        if envelope.v != VERSION || envelope.kind != KIND {
            let problem = format!("version {} of another kind", envelope.v);
            return Err(MessageError(problem));
        }
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
        }
    }
}
