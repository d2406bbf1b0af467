//! How long a sealing key may seal.

use chrono::{DateTime, Days, Utc};

/// How old a sealing key may become before another takes its place; zero days: as old as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge {
    /// Days from the key's being made.
    pub days: u16,
}

/// By when the key that seals is to be replaced by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateBy {
    /// There is no limit.
    Never,
    /// By then.
    At(DateTime<Utc>),
    /// The keyring does not say when the key was made, so it counts as overdue: a key that is too old must not go unseen.
    Unknown,
}

impl RotateBy {
    /// Unix time for the metric: 0 where the age of the key is unknown; `None` without a limit.
    pub fn unix_seconds(self) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time.timestamp()),
            Self::Unknown => Some(0),
        }
    }
}

impl MaxAge {
    /// For a key that was made then.
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
    fn a_key_is_replaced_once_it_is_so_many_days_old() {
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
