//! Setu's ids and times. Ids are random, so that after a restart none repeats one in the ledger's file.

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use uuid::Uuid;

/// The digits of a ULID (Crockford's base 32).
const ULID_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// India's offset from UTC, in seconds.
const IST: i32 = 5 * 3600 + 1800;

/// Makes a trace id: `1-<8 hex digits, the second>-<24 hex digits>`.
pub(super) fn trace_id() -> String {
    let drawn = Uuid::new_v4().simple().to_string();
    format!("1-{:08x}-{}", Utc::now().timestamp(), &drawn[..24])
}

/// Makes the id of a UMAP resource, event or request: a ULID, 26 characters, of which the first ten are
/// the milliseconds.
pub(super) fn ulid() -> String {
    let at = u128::try_from(Utc::now().timestamp_millis()).unwrap_or(0);
    let bits = (at << 80) | (rand::random::<u128>() >> 48);
    (0..26)
        .rev()
        .map(|place| {
            let digit = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
            char::from(ULID_DIGITS[digit])
        })
        .collect()
}

/// Writes a time as `2017-08-28T09:36:18+00:00`.
pub(super) fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Writes a time as `2024-05-17T19:17:32+05:30`, or with six digits after the second.
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
    fn a_ulid_starts_with_its_millisecond() {
        let before = Utc::now().timestamp_millis();
        let id = ulid();
        let after = Utc::now().timestamp_millis();
        assert_eq!(id.len(), 26);
        let mut at = 0_i64;
        for byte in id.bytes().take(10) {
            let digit = ULID_DIGITS.iter().position(|known| *known == byte);
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
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [1, 8, 24]);
    }
}
