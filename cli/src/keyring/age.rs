//! How old a sealing key is, and by when the one that seals is to be replaced, in words.

use chrono::{DateTime, Utc};
use khata_crypto::RotateBy;

/// `, made 2026-11-24, 12 days old`.
pub(super) fn age(created_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    created_at.map_or(", of unknown age".to_owned(), |made| {
        format!(", made {}, {} days old", day(made), (now - made).num_days())
    })
}

/// `, to be replaced by 2027-11-24`.
pub(super) fn due(rotate_by: RotateBy, now: DateTime<Utc>) -> String {
    match rotate_by {
        RotateBy::Never => String::new(),
        RotateBy::At(time) if time > now => format!(", to be replaced by {}", day(time)),
        RotateBy::At(time) => format!(", TO BE REPLACED since {}", day(time)),
        RotateBy::Unknown => ", TO BE REPLACED".to_owned(),
    }
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_how_old_a_key_is_and_when_it_is_due() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (made, now) = (time("2026-11-24T10:00:00Z"), time("2026-12-06T09:00:00Z"));
        assert_eq!(age(Some(made), now), ", made 2026-11-24, 11 days old");
        assert_eq!(age(None, now), ", of unknown age");
        for (rotate_by, told) in [
            (RotateBy::Never, ""),
            (
                RotateBy::At(time("2027-11-24T10:00:00Z")),
                ", to be replaced by 2027-11-24",
            ),
            (RotateBy::At(made), ", TO BE REPLACED since 2026-11-24"),
            (RotateBy::Unknown, ", TO BE REPLACED"),
        ] {
            assert_eq!(due(rotate_by, now), told);
        }
    }
}
