//! Values of query parameters, and values that fields and parameters share.

use std::ops::RangeInclusive;

use khata_domain::EventName;
use khata_domain::account::ValueError;
use khata_domain::text::{is_placeholder, trim};

use super::{nearest, printable};
use crate::error::FaultCode::{self, Format, OutOfRange, Placeholder};
use crate::error::Faults;

/// The event with this name; otherwise the code and the reason of a fault.
pub(crate) fn event_name(text: &str) -> Result<EventName, (FaultCode, String)> {
    if text.is_empty() {
        return Err((Format, "has a comma without a name".to_owned()));
    }
    if is_placeholder(text) {
        return Err(placeholder());
    }
    EventName::parse(text).ok_or_else(|| {
        let names: Vec<&str> = EventName::ALL.iter().map(|name| name.as_str()).collect();
        let shown = printable(text);
        let reason = match nearest(text, &names) {
            Some(nearest) => {
                format!("has {shown}, which is not the name of an event: did you mean {nearest}?")
            }
            None => format!(
                "has {shown}, which is not the name of an event: the names are {}",
                names.join(", ")
            ),
        };
        (Format, reason)
    })
}

/// The code and the reason of a fault for a placeholder.
fn placeholder() -> (FaultCode, String) {
    (Placeholder, ValueError::PLACEHOLDER.reason().to_owned())
}

/// The value of a query parameter; `None`, with a fault, if `parse` does not read it. An empty parameter is absent.
pub(crate) fn parameter<T>(
    name: &str,
    text: Option<&str>,
    faults: &mut Faults,
    parse: impl FnOnce(&str) -> Option<T>,
    reason: &str,
) -> Option<T> {
    let text = text.map(trim).filter(|text| !text.is_empty())?;
    if is_placeholder(text) {
        let (code, reason) = placeholder();
        faults.push(name, code, reason);
        return None;
    }
    let value = parse(text);
    if value.is_none() {
        faults.push(name, Format, reason);
    }
    value
}

/// The whole number of a query parameter, or the default of one that is absent. One that is not in the range is a fault.
pub(crate) fn number_or(
    name: &str,
    text: Option<&str>,
    default: i64,
    range: &RangeInclusive<i64>,
    faults: &mut Faults,
) -> i64 {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return default;
    };
    let number = whole_number(text).filter(|number| range.contains(number));
    number.unwrap_or_else(|| {
        let (code, reason) = if is_placeholder(text) {
            placeholder()
        } else {
            (OutOfRange, out_of_range(range))
        };
        faults.push(name, code, reason);
        default
    })
}

/// The number that these ASCII digits write.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// The reason of a fault for a number outside its range.
pub(crate) fn out_of_range(range: &RangeInclusive<i64>) -> String {
    let (least, most) = (range.start(), range.end());
    format!("must be a whole number from {least} to {most}")
}
