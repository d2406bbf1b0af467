//! Amounts and times, as gateways' exports write them.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::times::{Zone, parse_zone};

/// Dates, with the day before the month as in India. A month by name may be short. A year has four digits, or two.
const DATES: [&str; 13] = [
    "%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d-%B-%Y", "%d/%B/%Y", "%d %B %Y",
    "%d/%m/%y", "%d-%m-%y", "%d.%m.%y", "%d-%B-%y", "%d %B %y",
];
/// Years of payments. A year of two digits that was read as one of four is not among them.
const YEARS: RangeInclusive<i32> = 2000..=2099;
const CLOCKS: [&str; 2] = ["%H:%M:%S%.f", "%H:%M"];
const HALF_DAY_CLOCKS: [&str; 2] = ["%I:%M:%S %p", "%I:%M %p"];
/// Numbers from here on are milliseconds since 1970, and smaller ones seconds.
const MILLISECONDS: i64 = 100_000_000_000;

/// A moment, or the whole day that a date without a time names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
}

impl Span {
    pub(super) fn moment(at: DateTime<Utc>) -> Self {
        Self { from: at, to: at }
    }

    /// Returns the span from the earlier beginning to the later end.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }
}

/// Parses an amount to paise: `1`, `1.00`, `-1.00`, `₹1.00`, `INR 1,000.00`. An empty one is 0.
pub(super) fn paise(text: &str, is_paise: bool) -> Option<i64> {
    let text = ["₹", "INR", "Rs.", "Rs", ",", " "]
        .iter()
        .fold(text.to_owned(), |text, part| text.replace(part, ""));
    if text.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let digits = if digits.is_empty() { "0" } else { digits };
        is_number.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let (whole, places) = (number(whole)?, format!("{fraction:0<2}"));
    let (hundredths, rest) = places.split_at_checked(2)?;
    // A fraction of a paisa is no rupee.
    let is_exact = number(rest)? == 0;
    let paise = if is_paise {
        whole
    } else {
        whole.checked_mul(100)?.checked_add(number(hundredths)?)?
    };
    Some(if is_exact { sign * paise } else { 0 })
}

/// Parses a time; one without a zone is of this zone. A date alone is the whole day.
pub(super) fn time(text: &str, zone: Zone) -> Option<Span> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(Span::moment(time.to_utc()));
    }
    if let Ok(number) = text.parse::<i64>() {
        let time = if number >= MILLISECONDS {
            DateTime::from_timestamp_millis(number)
        } else {
            DateTime::from_timestamp(number, 0)
        };
        return time.map(Span::moment);
    }
    let text = text.replace(',', " ");
    let (local, zone) = match text.trim().rsplit_once(' ') {
        Some((local, name)) => {
            parse_zone(name).map_or((text.trim(), zone), |zone| (local.trim(), zone))
        }
        None => (text.trim(), zone),
    };
    DATES.iter().find_map(|form| {
        let (date, rest) = NaiveDate::parse_and_remainder(local, form).ok()?;
        let is_likely = YEARS.contains(&date.year());
        is_likely.then(|| of_day(date, rest, zone)).flatten()
    })
}

/// Returns the time of this day, or the whole day if there is none.
fn of_day(date: NaiveDate, clock: &str, zone: Zone) -> Option<Span> {
    if clock.is_empty() {
        let next = date.checked_add_days(Days::new(1))?;
        let [from, next] = [date, next].map(|day| zone.of_local(day.and_time(NaiveTime::MIN)));
        return Some(Span {
            from: from?,
            to: next? - TimeDelta::milliseconds(1),
        });
    }
    let clock = clock.strip_prefix(['T', ' '])?.trim().to_uppercase();
    let half = ["AM", "PM"]
        .into_iter()
        .find_map(|half| Some((clock.strip_suffix(half)?.trim(), half)));
    let (clock, forms) = match half {
        Some((clock, half)) => (format!("{clock} {half}"), HALF_DAY_CLOCKS),
        None => (clock, CLOCKS),
    };
    let mut forms = forms.iter();
    let clock = forms.find_map(|form| NaiveTime::parse_from_str(&clock, form).ok())?;
    zone.of_local(date.and_time(clock)).map(Span::moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::parse_zone;

    #[test]
    fn amounts_are_read_to_the_paisa() {
        for (text, amount) in [
            ("1", Some(100)),
            ("1.00", Some(100)),
            ("-1.0", Some(-100)),
            ("₹1.00", Some(100)),
            ("INR 1,000.50", Some(100_050)),
            ("", Some(0)),
            (".5", Some(50)),
            ("1.000", Some(100)),
            ("1.001", Some(0)),
            ("one", None),
            ("1.2.3", None),
            ("1e3", None),
        ] {
            assert_eq!(paise(text, false), amount, "{text}");
        }
        assert_eq!(paise("100", true), Some(100));
    }

    #[test]
    fn times_are_read_in_the_zone_of_the_statement() {
        let india = parse_zone("IST").unwrap();
        let utc = Some("2026-11-29T10:00:00Z".parse().unwrap());
        let utc = utc.map(Span::moment);
        for text in [
            "2026-11-29T10:00:00Z",
            "2026-11-29T15:30:00+05:30",
            "2026-11-29 15:30:00",
            "2026-11-29T15:30:00.000",
            "2026-11-29 15:30",
            "2026/11/29 15:30",
            "29/11/2026 15:30:00",
            "29/11/2026 03:30 PM",
            "29/11/26 3:30:00pm",
            "29-11-2026 15:30",
            "29-11-26 15:30",
            "29.11.2026 15:30",
            "29-Nov-2026 15:30:00",
            "29-NOV-26 15:30",
            "29 Nov 2026 15:30:00",
            "29 November 2026, 03:30 PM",
            "29 Nov 2026, 15:30:00 IST",
            "29-11-2026 10:00 UTC",
            "1795946400",
            "1795946400000",
        ] {
            assert_eq!(time(text, india), utc, "{text}");
        }
        for text in [
            "",
            "yesterday",
            "11/29/2026 15:30",
            "29/11/1026",
            "2026-11-291530",
            "29/11/2026 25:30",
            "29/11/2026 at noon",
        ] {
            assert_eq!(time(text, india), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_the_whole_day_in_the_zone_of_the_statement() {
        let india = parse_zone("IST").unwrap();
        let day = Span {
            from: "2026-11-28T18:30:00Z".parse().unwrap(),
            to: "2026-11-29T18:29:59.999Z".parse().unwrap(),
        };
        for text in [
            "2026-11-29",
            "29/11/2026",
            "29-11-26",
            "29-Nov-26",
            "29-Nov-2026",
            "29 November 2026",
        ] {
            assert_eq!(time(text, india), Some(day), "{text}");
        }
        let moment = Span::moment("2026-12-01T00:00:00Z".parse().unwrap());
        assert_eq!(day.with(moment).to, moment.to);
        assert_eq!(moment.with(day).from, day.from);
    }
}
