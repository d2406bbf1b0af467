//! Durations and times, as operators write and read them.

use std::ops::RangeInclusive;

use chrono::{
    DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat,
    TimeDelta, Utc,
};

/// Seconds by which the time in India is ahead of UTC. India has one zone and no summer time.
const INDIA: i32 = 5 * 3_600 + 30 * 60;

/// The zone of the times that a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone(FixedOffset);

impl Zone {
    pub(crate) fn utc() -> Self {
        Self(Utc.fix())
    }

    /// Formats a time by RFC 3339, in whole seconds.
    pub(crate) fn time(self, time: DateTime<Utc>) -> String {
        time.with_timezone(&self.0)
            .to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Returns the moment of this local time.
    pub(crate) fn of_local(self, time: NaiveDateTime) -> Option<DateTime<Utc>> {
        let local = time.and_local_timezone(self.0).single()?;
        Some(local.to_utc())
    }

    /// Formats the time of day, with the zone.
    pub(crate) fn clock(self, time: DateTime<Utc>) -> String {
        let zone = match self.0.local_minus_utc() {
            0 => "UTC".to_owned(),
            INDIA => "IST".to_owned(),
            _ => self.0.to_string(),
        };
        format!("{} {zone}", time.with_timezone(&self.0).format("%H:%M:%S"))
    }
}

/// Parses `UTC`, `Asia/Kolkata`, `IST` or an offset like `+05:30`.
pub(crate) fn parse_zone(text: &str) -> Result<Zone, &'static str> {
    let offset = match text {
        "UTC" | "Z" => FixedOffset::east_opt(0),
        "IST" | "Asia/Kolkata" | "Asia/Calcutta" => FixedOffset::east_opt(INDIA),
        _ => text.parse().ok().filter(|_| text.contains(':')),
    };
    offset
        .map(Zone)
        .ok_or("expected UTC, Asia/Kolkata (or IST), or an offset like +05:30")
}

/// Parses a time in the past: an age (`30m`, `2h`, `7d`), RFC 3339, or a date, with or without a time, and its zone
/// (`2026-11-29 15:30 IST`).
pub(crate) fn parse_past(text: &str) -> Result<DateTime<Utc>, &'static str> {
    const EXPECTED: &str = "expected a time ago, like 30m, 2h or 7d, or a day or time with its zone, like \"2026-11-29 IST\", \
         \"2026-11-29 15:30 IST\" or 2026-11-29T10:00:00Z";
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Some(ago) = parse_duration(text) {
        return Utc::now().checked_sub_signed(ago).ok_or(EXPECTED);
    }
    let (local, zone) = text.rsplit_once(' ').ok_or(EXPECTED)?;
    let zone = parse_zone(zone).map_err(|_| EXPECTED)?;
    let local = parse_local(local).ok_or(EXPECTED)?;
    let time = local.and_local_timezone(zone.0).single();
    time.map(|time| time.to_utc()).ok_or(EXPECTED)
}

/// Returns when the day in India began that was this number of days before the day of `now`.
pub(crate) fn midnight_in_india(now: DateTime<Utc>, days: u64) -> DateTime<Utc> {
    let india = TimeDelta::seconds(INDIA.into());
    let day = (now + india).date_naive().checked_sub_days(Days::new(days));
    day.map_or(now, |day| day.and_time(NaiveTime::MIN).and_utc() - india)
}

/// Parses a date, which is its midnight, or a date and a time.
fn parse_local(text: &str) -> Option<NaiveDateTime> {
    let times = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let time = times
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    time.or_else(|| {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        day.and_hms_opt(0, 0, 0)
    })
}

/// Parses a whole number of seconds, minutes, hours or days: `90s`, `30m`, `48h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Option<TimeDelta> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    TimeDelta::try_seconds(i64::from(number) * seconds)
}

/// Parses a duration, or a number of `unit` seconds without a unit. Returns the number of units, which must be whole and in the
/// range.
fn parse_units<T: TryFrom<i64> + Into<i64> + Copy>(
    text: &str,
    unit: i64,
    range: &RangeInclusive<T>,
) -> Result<T, String> {
    let bounds: RangeInclusive<i64> = (*range.start()).into()..=(*range.end()).into();
    let seconds = match text.parse::<u32>() {
        Ok(number) => i64::from(number).checked_mul(unit),
        Err(_) => parse_duration(text).map(|duration| duration.num_seconds()),
    };
    let units = seconds.filter(|seconds| seconds % unit == 0);
    let units = units.map(|seconds| seconds / unit);
    let units = units.filter(|units| bounds.contains(units));
    units
        .and_then(|units| T::try_from(units).ok())
        .ok_or_else(|| {
            let [least, most] = [bounds.start(), bounds.end()].map(|end| duration(end * unit));
            let (name, examples) = match unit {
                1 => ("seconds", "30m, 48h or 7d"),
                3_600 => ("hours", "24h or 7d"),
                _ => ("days", "7d or 30d"),
            };
            format!(
                "expected a time from {least} to {most} in whole {name}, like {examples}; or the number of {name}"
            )
        })
}

/// Parses a duration in seconds.
pub(crate) fn parse_seconds(text: &str, range: &RangeInclusive<i32>) -> Result<i32, String> {
    parse_units(text, 1, range)
}

/// Parses a duration in whole hours.
pub(crate) fn parse_hours(text: &str, range: &RangeInclusive<u16>) -> Result<u16, String> {
    parse_units(text, 3_600, range)
}

/// Parses a duration in whole days.
pub(crate) fn parse_days(text: &str, range: &RangeInclusive<i16>) -> Result<i16, String> {
    parse_units(text, 86_400, range)
}

/// Formats seconds as `2d`, `1h 30m` or `0s`.
pub(crate) fn duration(seconds: i64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_time_is_an_age_or_a_time_with_its_zone() {
        for (text, ago) in [
            ("0m", TimeDelta::zero()),
            ("90s", TimeDelta::seconds(90)),
            ("30m", TimeDelta::minutes(30)),
            ("2h", TimeDelta::hours(2)),
            ("7d", TimeDelta::days(7)),
        ] {
            let before = Utc::now();
            let parsed = parse_past(text).unwrap();
            assert!(
                (before - ago..=Utc::now() - ago).contains(&parsed),
                "{text}"
            );
        }
        for (text, utc) in [
            ("2026-11-29T15:30:00+05:30", "2026-11-29T10:00:00Z"),
            ("2026-11-29 15:30 IST", "2026-11-29T10:00:00Z"),
            ("2026-11-29 15:30:05 Asia/Kolkata", "2026-11-29T10:00:05Z"),
            ("2026-11-29 IST", "2026-11-28T18:30:00Z"),
            ("2026-11-29 10:00 UTC", "2026-11-29T10:00:00Z"),
            ("2026-11-29 10:00 -01:00", "2026-11-29T11:00:00Z"),
        ] {
            let time = parse_past(text).unwrap();
            assert_eq!(Zone::utc().time(time), utc, "{text}");
        }
        for text in [
            "",
            "h",
            "2",
            "2 h",
            "-2h",
            "1.5h",
            "2w",
            "2026-11-29",
            "2026-11-29 15:30",
            "2026-11-29 25:30 IST",
            "15:30 IST",
            "4294967296d",
            "2ह",
        ] {
            assert!(parse_past(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_in_india() {
        for (now, days, midnight) in [
            ("2026-11-30T18:29:59Z", 0, "2026-11-29T18:30:00Z"),
            ("2026-11-30T18:30:00Z", 0, "2026-11-30T18:30:00Z"),
            ("2026-11-30T18:30:00Z", 6, "2026-11-24T18:30:00Z"),
        ] {
            let midnight: DateTime<Utc> = midnight.parse().unwrap();
            assert_eq!(midnight_in_india(now.parse().unwrap(), days), midnight);
        }
    }

    #[test]
    fn a_zone_is_utc_india_or_an_offset() {
        let time = "2026-11-29T20:00:00Z".parse().unwrap();
        for (text, shown, clock) in [
            ("UTC", "2026-11-29T20:00:00Z", "20:00:00 UTC"),
            ("IST", "2026-11-30T01:30:00+05:30", "01:30:00 IST"),
            ("Asia/Kolkata", "2026-11-30T01:30:00+05:30", "01:30:00 IST"),
            ("-01:00", "2026-11-29T19:00:00-01:00", "19:00:00 -01:00"),
        ] {
            let zone = parse_zone(text).unwrap();
            assert_eq!(
                (zone.time(time).as_str(), zone.clock(time).as_str()),
                (shown, clock)
            );
        }
        for text in ["", "5", "India", "Europe/Berlin", "+99:00", "0530"] {
            assert!(parse_zone(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit_or_is_a_number_of_the_settings_own_unit() {
        for (text, seconds) in [
            ("60", 60),
            ("90s", 90),
            ("30m", 1_800),
            ("48h", 172_800),
            ("7d", 604_800),
        ] {
            assert_eq!(
                parse_seconds(text, &(60..=2_592_000)),
                Ok(seconds),
                "{text}"
            );
        }
        for text in [
            "",
            "59",
            "59s",
            "31d",
            "soon",
            "-1",
            "1.5h",
            "2 h",
            "99999999999d",
        ] {
            let error = parse_seconds(text, &(60..=2_592_000)).unwrap_err();
            assert!(
                error.starts_with("expected a time from 1m to 30d in whole seconds, "),
                "{text}: {error}"
            );
        }
        assert_eq!(parse_hours("2d", &(0..=168)), Ok(48));
        assert_eq!(parse_hours("24", &(0..=168)), Ok(24));
        let error = parse_hours("90m", &(0..=168)).unwrap_err();
        assert_eq!(
            error,
            "expected a time from 0s to 7d in whole hours, like 24h or 7d; or the number of hours"
        );
        assert_eq!(
            parse_days("48h", &(4..=365)),
            Err(parse_days("2", &(4..=365)).unwrap_err())
        );
        assert_eq!(parse_days("30d", &(4..=365)), Ok(30));
        for (seconds, text) in [
            (0, "0s"),
            (90, "1m 30s"),
            (172_800, "2d"),
            (5_400, "1h 30m"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
