//! Maximum age of the encryption key.

use chrono::{DateTime, Days, Utc};

/// Maximum age of the primary encryption key; zero days: no maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge {
    /// Days from the creation of the key.
    pub days: u16,
}

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
    /// Returns the Unix time for the metric: 0 if the age of the key is unknown; `None` without a maximum age.
    pub fn unix_seconds(self) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time.timestamp()),
            Self::Unknown => Some(0),
        }
    }
}

impl MaxAge {
    /// Returns the time limit of a key with this creation time.
    pub fn rotate_by(self, created_at: Option<DateTime<Utc>>) -> RotateBy {
        if self.days == 0 {
            return RotateBy::Never;
        }
        let last_day = |time: DateTime<Utc>| time.checked_add_days(Days::new(self.days.into()));
        created_at
            .and_then(last_day)
            .map_or(RotateBy::Unknown, RotateBy::At)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_at_its_maximum_age() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let made = time("2026-11-24T10:00:00Z");
        let year = MaxAge { days: 365 };
        assert_eq!(
            year.rotate_by(Some(made)),
            RotateBy::At(time("2027-11-24T10:00:00Z"))
        );
        assert_eq!(year.rotate_by(None), RotateBy::Unknown);
        assert_eq!(
            year.rotate_by(Some(DateTime::<Utc>::MAX_UTC)),
            RotateBy::Unknown
        );
        assert_eq!(
            year.rotate_by(Some(made)).unix_seconds(),
            Some(1_827_050_400)
        );
        assert_eq!(year.rotate_by(None).unix_seconds(), Some(0));
        assert_eq!(RotateBy::Never.unix_seconds(), None);
        for created_at in [None, Some(made)] {
            assert_eq!(MaxAge { days: 0 }.rotate_by(created_at), RotateBy::Never);
        }
    }
}
