//! How many calls a gateway account takes, and when: its own limits, whatever Khata would like.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike, Utc};

/// India keeps one time, without summer time: UTC+5:30.
const IST: TimeDelta = TimeDelta::minutes(330);
const MINUTES_A_DAY: u32 = 24 * 60;

/// What a gateway account takes. Holds over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Calls of any kind in any 60 seconds; `None`: as many as there are.
    pub calls_per_minute: Option<NonZeroU32>,
    /// Calls under way at once; `None`: as many as there are.
    pub concurrency: Option<NonZeroU32>,
    /// When new attempts may begin.
    pub hours: Hours,
    /// When new penny drops to UPI addresses may begin, within `hours`: NPCI keeps its busy hours free of calls that no
    /// payer waits for (10:00–13:00 and 17:00–21:30 IST, May 2025).
    pub upi_penny_drop_hours: Hours,
}

/// Times of day in India, from (inclusive) to (exclusive); none at all means always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(Vec<(u32, u32)>);

impl Hours {
    /// Reads `["00:00-10:00", "21:30-24:00"]`; a span may go over midnight. `None` where one is no such span.
    pub fn parse<S: AsRef<str>>(spans: &[S]) -> Option<Self> {
        let minute = |text: &str| match text {
            "24:00" => Some(MINUTES_A_DAY),
            _ => NaiveTime::parse_from_str(text, "%H:%M")
                .ok()
                .map(|time| time.num_seconds_from_midnight() / 60),
        };
        let mut read = Vec::new();
        for span in spans {
            let (from, to) = span.as_ref().split_once('-')?;
            let (from, to) = (minute(from.trim())?, minute(to.trim())?);
            match from.cmp(&to) {
                std::cmp::Ordering::Less => read.push((from, to)),
                std::cmp::Ordering::Greater => read.extend([(from, MINUTES_A_DAY), (0, to)]),
                std::cmp::Ordering::Equal => return None,
            }
        }
        Some(Self(read))
    }

    /// Whether they are open now; else when they open next.
    pub fn open_at(&self, now: DateTime<Utc>) -> Result<(), DateTime<Utc>> {
        let minute = (now + IST).time().num_seconds_from_midnight() / 60;
        if self.0.is_empty()
            || self
                .0
                .iter()
                .any(|(from, to)| (*from..*to).contains(&minute))
        {
            return Ok(());
        }
        let wait = self
            .0
            .iter()
            .map(|(from, _)| (from + MINUTES_A_DAY - minute) % MINUTES_A_DAY)
            .min()
            .unwrap_or(0);
        let into_the_minute =
            Duration::new(u64::from(now.second()), now.nanosecond() % 1_000_000_000);
        let into_the_minute = TimeDelta::from_std(into_the_minute).unwrap_or_default();
        Err(now + TimeDelta::minutes(i64::from(wait)) - into_the_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(time).unwrap().to_utc()
    }

    #[test]
    fn hours_are_indias() {
        let hours = Hours::parse(&["21:30-10:00", "13:00-17:00"]).unwrap();
        for (time, opens) in [
            ("2026-11-24T09:59:59+05:30", None),
            (
                "2026-11-24T10:00:00+05:30",
                Some("2026-11-24T13:00:00+05:30"),
            ),
            (
                "2026-11-24T12:59:59.5+05:30",
                Some("2026-11-24T13:00:00+05:30"),
            ),
            ("2026-11-24T13:00:00+05:30", None),
            (
                "2026-11-24T17:00:01+05:30",
                Some("2026-11-24T21:30:00+05:30"),
            ),
            ("2026-11-24T23:59:00+05:30", None),
            ("2026-11-25T00:00:00+05:30", None),
        ] {
            assert_eq!(hours.open_at(at(time)).err(), opens.map(at), "{time}");
        }
        assert!(
            Hours::default()
                .open_at(at("2026-11-24T10:30:00+05:30"))
                .is_ok()
        );
        let nights = Hours::parse(&["00:00-06:00"]).unwrap();
        assert_eq!(
            nights.open_at(at("2026-11-24T20:00:00+05:30")),
            Err(at("2026-11-25T00:00:00+05:30"))
        );
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for span in ["", "10:00", "10-12", "10:00-25:00", "10:00-10:00", "a-b"] {
            assert_eq!(Hours::parse(&[span]), None, "{span}");
        }
        assert!(Hours::parse(&["10:00-24:00"]).is_some());
    }
}
