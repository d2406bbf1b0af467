//! Ids the way Setu makes them. They are drawn at random, so that after a restart they do not meet
//! those the ledger's file still holds.

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use uuid::Uuid;

/// The letters and digits of a ULID (Crockford's base 32).
const ULID_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// India's offset from UTC, in seconds.
const IST: i32 = 5 * 3600 + 1800;

/// The id of a bank verification: a UUID.
pub(super) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// A trace id: `1-<8 hex digits, the second>-<24 hex digits>`.
pub(super) fn trace_id() -> String {
    let drawn = Uuid::new_v4().simple().to_string();
    format!("1-{:08x}-{}", Utc::now().timestamp(), &drawn[..24])
}

/// The id of a UMAP resource, event or request: a ULID, 26 characters, the first ten of them the
/// milliseconds.
pub(super) fn ulid() -> String {
    let at = u128::try_from(Utc::now().timestamp_millis()).unwrap_or(0);
    let bits = (at << 80) | (rand::random::<u128>() >> 48);
    (0..26)
        .rev()
        .map(|place| {
            let letter = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
            char::from(ULID_ALPHABET[letter])
        })
        .collect()
}

/// `2017-08-28T09:36:18+00:00`.
pub(super) fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// `2024-05-17T19:17:32+05:30`, or with six digits after the second.
pub(super) fn india(at: DateTime<Utc>, digits: SecondsFormat) -> String {
    match FixedOffset::east_opt(IST) {
        Some(india) => at.with_timezone(&india).to_rfc3339_opts(digits, false),
        None => utc(at),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_ulid_tells_its_millisecond_and_sorts_by_it() {
        let before = Utc::now().timestamp_millis();
        let id = ulid();
        let after = Utc::now().timestamp_millis();
        assert_eq!(id.len(), 26);
        let mut at = 0_i64;
        for byte in id.bytes().take(10) {
            let digit = ULID_ALPHABET.iter().position(|known| *known == byte);
            at = at * 32 + i64::try_from(digit.unwrap()).unwrap();
        }
        assert!((before..=after).contains(&at));
        assert_ne!(ulid(), ulid());
    }

    #[test]
    fn times_are_written_as_setu_writes_them() {
        let at = DateTime::parse_from_rfc3339("2023-03-14T10:35:52.093816Z")
            .unwrap()
            .to_utc();
        assert_eq!(utc(at), "2023-03-14T10:35:52+00:00");
        assert_eq!(
            india(at, SecondsFormat::Micros),
            "2023-03-14T16:05:52.093816+05:30"
        );
        assert_eq!(india(at, SecondsFormat::Secs), "2023-03-14T16:05:52+05:30");
    }

    #[test]
    fn a_trace_id_has_three_parts() {
        let id = trace_id();
        let parts: Vec<_> = id.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [1, 8, 24]
        );
    }
}
