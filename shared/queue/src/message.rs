//! What a message says: which validations are due, and in which trace. Tagged and versioned, so that an old worker
//! can tell that it does not understand.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use khata_domain::ValidationKey;
use khata_domain::{MerchantId, ValidationId};

/// One validation to ring for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Which.
    pub key: ValidationKey,
    /// W3C trace context of the account's trace.
    pub trace_parent: Option<String>,
}

/// One validation that was wakeup for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedWakeup {
    /// Which.
    pub key: ValidationKey,
    /// Trace context of the publishing, where the trace is recorded.
    pub trace_parent: Option<String>,
}

/// A message that is not one of ours, or of a version this build does not know.
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

pub(super) fn encode(wakeups: impl Iterator<Item = ReceivedWakeup>) -> Vec<u8> {
    let validations = wakeups
        .map(|r| Entry {
            m: r.key.merchant.0,
            v: r.key.id.0,
            t: r.trace_parent,
        })
        .collect();
    serde_json::to_vec(&Envelope {
        v: VERSION,
        kind: KIND,
        validations,
    })
    .unwrap_or_default()
}

impl ReceivedWakeup {
    /// Reads a message's body.
    pub fn decode(body: &[u8]) -> Result<Vec<Self>, MessageError> {
        // What the body holds is anybody's guess, so the error tells where it breaks off and not what stands there.
        let envelope: Envelope<'_> = serde_json::from_slice(body)
            .map_err(|error| MessageError(format!("not ours, column {}", error.column())))?;
        if envelope.v != VERSION || envelope.kind != KIND {
            return Err(MessageError(format!(
                "version {} of another kind",
                envelope.v
            )));
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
    fn a_message_reads_as_it_was_written() {
        let key = ValidationKey {
            merchant: MerchantId::new(),
            id: ValidationId::new(),
        };
        let wakeup = ReceivedWakeup {
            key,
            trace_parent: Some("00-1-2-01".into()),
        };
        assert_eq!(
            ReceivedWakeup::decode(&encode(std::iter::once(wakeup.clone()))).unwrap(),
            [wakeup]
        );
    }

    #[test]
    fn other_versions_and_kinds_are_unreadable() {
        for body in [
            "",
            "{}",
            r#"{"v":2,"type":"validations.due","validations":[]}"#,
            r#"{"v":1,"type":"x","validations":[]}"#,
        ] {
            assert!(ReceivedWakeup::decode(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ReceivedWakeup::decode(&body);
        }
    }
}
