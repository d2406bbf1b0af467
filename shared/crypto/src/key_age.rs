//! Maximum age of the encryption key.

use chrono::{DateTime, Days, Utc};

/// When the operator must replace the primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateBy {
    /// There is no maximum age.
    Never,
    At(DateTime<Utc>),
    /// The keyring has no creation time for the key, so the key counts as overdue: a key that is too old must not go unnoticed.
    Unknown,
}

impl RotateBy {
    /// Returns the time limit of a key with this creation time; zero days: no maximum age.
    pub(super) fn of(created_at: Option<DateTime<Utc>>, max_age_days: u16) -> Self {
        if max_age_days == 0 {
            return Self::Never;
        }
        let last_day = |time: DateTime<Utc>| time.checked_add_days(Days::new(max_age_days.into()));
        created_at
            .and_then(last_day)
            .map_or(Self::Unknown, Self::At)
    }

    /// Returns the Unix time for the metric: 0 if the age of the key is unknown; `None` without a maximum age.
    pub fn unix_seconds(self) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time.timestamp()),
            Self::Unknown => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_at_its_maximum_age() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let made = time("2026-11-24T10:00:00Z");
        let of_year = |created_at| RotateBy::of(created_at, 365);
        assert_eq!(
            of_year(Some(made)),
            RotateBy::At(time("2027-11-24T10:00:00Z"))
        );
        assert_eq!(of_year(None), RotateBy::Unknown);
        assert_eq!(of_year(Some(DateTime::<Utc>::MAX_UTC)), RotateBy::Unknown);
        assert_eq!(of_year(Some(made)).unix_seconds(), Some(1_827_050_400));
        assert_eq!(of_year(None).unix_seconds(), Some(0));
        assert_eq!(RotateBy::Never.unix_seconds(), None);
        for created_at in [None, Some(made)] {
            assert_eq!(RotateBy::of(created_at, 0), RotateBy::Never);
        }
    }
}
