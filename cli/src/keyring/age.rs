//! The age of an encryption key, and the date by which to replace the primary, as text.

use chrono::{DateTime, Utc};
use khata_crypto::RotateBy;

/// Returns `, created 2026-11-24, 12 days old`.
pub(super) fn age(created_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    created_at.map_or(", age unknown".to_owned(), |created| {
        let days = (now - created).num_days();
        format!(", created {}, {days} days old", day(created))
    })
}

/// Returns `, replace by 2027-11-24`, or nothing if keys are used without limit.
pub(super) fn due(rotate_by: RotateBy, now: DateTime<Utc>) -> String {
    match rotate_by {
        RotateBy::Never => String::new(),
        RotateBy::At(time) if time > now => format!(", replace by {}", day(time)),
        RotateBy::At(time) => format!(", REPLACEMENT OVERDUE since {}", day(time)),
        RotateBy::Unknown => ", REPLACEMENT OVERDUE".to_owned(),
    }
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_due_date_are_formatted() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (created, now) = (time("2026-11-24T10:00:00Z"), time("2026-12-06T09:00:00Z"));
        assert_eq!(age(Some(created), now), ", created 2026-11-24, 11 days old");
        assert_eq!(age(None, now), ", age unknown");
        for (rotate_by, text) in [
            (RotateBy::Never, ""),
            (
                RotateBy::At(time("2027-11-24T10:00:00Z")),
                ", replace by 2027-11-24",
            ),
            (
                RotateBy::At(created),
                ", REPLACEMENT OVERDUE since 2026-11-24",
            ),
            (RotateBy::Unknown, ", REPLACEMENT OVERDUE"),
        ] {
            assert_eq!(due(rotate_by, now), text);
        }
    }
}
