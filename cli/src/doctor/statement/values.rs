//! Amounts and times, as gateways' exports write them.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::times::Zone;

/// Times without a zone.
const TIMES: [&str; 8] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d %b %Y %H:%M:%S",
];
/// Numbers from here on are milliseconds since 1970, and smaller ones seconds.
const MILLISECONDS: i64 = 100_000_000_000;

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

/// Parses a time; one without a zone is of this zone.
pub(super) fn time(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(number) = text.parse::<i64>() {
        return if number >= MILLISECONDS {
            DateTime::from_timestamp_millis(number)
        } else {
            DateTime::from_timestamp(number, 0)
        };
    }
    let mut formats = TIMES.iter();
    let naive = formats.find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    zone.of_local(naive)
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
        for text in [
            "2026-11-29T10:00:00Z",
            "2026-11-29T15:30:00+05:30",
            "2026-11-29 15:30:00",
            "2026-11-29 15:30",
            "29/11/2026 15:30:00",
            "29-11-2026 15:30",
            "29 Nov 2026 15:30:00",
            "1795946400",
            "1795946400000",
        ] {
            assert_eq!(time(text, india), utc, "{text}");
        }
        for text in ["", "yesterday", "29/11/2026", "11/29/2026 15:30"] {
            assert_eq!(time(text, india), None, "{text}");
        }
    }
}
