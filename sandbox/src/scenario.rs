//! Test data all gateways have in common, beside what each publishes: an account number, or the part
//! of a VPA before its `@`, that ends in eight digits of a table asks for one outcome. The table is in
//! the crate's README. Anything else that is well formed is valid.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use crate::gateway::Gateway;

/// What an account number that asks for a scenario has before its last two digits.
const SCENARIO: &str = "990099";

/// What an account number that asks for a row of the gateway's own table has there.
const OWN_ROW: &str = "990088";

/// One outcome every gateway can be asked for, as near as its contract comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// `…11`: pending, then valid.
    PendingThenValid,
    /// `…12`: pending, then invalid.
    PendingThenInvalid,
    /// `…13`: pending for ever.
    PendingForever,
    /// `…21`: valid, and no name is told.
    NameMissing,
    /// `…22`: valid, under the name `VERIFIED`.
    NameVerified,
    /// `…23`: valid, under the name `NA`.
    NameNotAvailable,
    /// `…24`: valid, under [`SOMEBODY_ELSE`]'s name whatever was sent.
    OtherName,
    /// `…31`: there is no such account.
    Invalid,
    /// `…32`: the IFSC is not one.
    InvalidIfsc,
    /// `…33`: the account is closed.
    Closed,
    /// `…34`: the account is blocked or frozen.
    Blocked,
    /// `…35`: suspected of fraud.
    Fraud,
    /// `…36`: a non-resident's account.
    Nre,
    /// `…41`: the bank would not say; asking again is no use.
    Inconclusive,
    /// `…42`: a technical failure, whenever it is asked.
    Technical,
    /// `…43`: a technical failure at the first call with this number, valid at every later one.
    TechnicalOnce,
}

/// What a number asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing: it is valid.
    Nothing,
    /// A scenario all gateways have.
    Scenario(Scenario),
    /// The row with this number, 0 to 99, of the gateway's own table.
    OwnRow(usize),
}

/// The name under which [`Scenario::OtherName`] is valid.
pub(crate) const SOMEBODY_ELSE: &str = "ZUBIN IRANI";

/// What this account number, or this part of a VPA before its `@`, asks for. A number of the table that
/// is not taken asks for nothing.
pub(crate) fn asked(number: &str) -> Asked {
    let Some(ending) = number
        .len()
        .checked_sub(SCENARIO.len() + 2)
        .and_then(|start| number.get(start..))
    else {
        return Asked::Nothing;
    };
    let (table, row) = ending.split_at(SCENARIO.len());
    match (table, row.parse()) {
        (SCENARIO, Ok(row)) => scenario(row).map_or(Asked::Nothing, Asked::Scenario),
        (OWN_ROW, Ok(row)) => Asked::OwnRow(row),
        _ => Asked::Nothing,
    }
}

/// [`asked`] of the part before the `@`.
pub(crate) fn asked_by_vpa(vpa: &str) -> Asked {
    asked(vpa.split_once('@').map_or(vpa, |(user, _)| user))
}

fn scenario(row: usize) -> Option<Scenario> {
    Some(match row {
        11 => Scenario::PendingThenValid,
        12 => Scenario::PendingThenInvalid,
        13 => Scenario::PendingForever,
        21 => Scenario::NameMissing,
        22 => Scenario::NameVerified,
        23 => Scenario::NameNotAvailable,
        24 => Scenario::OtherName,
        31 => Scenario::Invalid,
        32 => Scenario::InvalidIfsc,
        33 => Scenario::Closed,
        34 => Scenario::Blocked,
        35 => Scenario::Fraud,
        36 => Scenario::Nre,
        41 => Scenario::Inconclusive,
        42 => Scenario::Technical,
        43 => Scenario::TechnicalOnce,
        _ => return None,
    })
}

/// The name the bank has for a valid account or VPA that is not published with one: the name sent, in
/// capitals; where none was sent, one that the number decides, always the same.
pub(crate) fn holder(number: &str, sent: Option<&str>) -> String {
    const FIRST: [&str; 7] = ["ASHA", "RAVI", "MEENA", "IMRAN", "KAVYA", "JOSEPH", "DIVYA"];
    const LAST: [&str; 5] = ["RAO", "SHARMA", "KRISHNAN", "D SOUZA", "BANERJEE"];
    if let Some(sent) = sent.map(str::trim).filter(|sent| !sent.is_empty()) {
        return sent.to_uppercase();
    }
    let sum = number
        .bytes()
        .fold(0_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 9_973);
    format!("{} {}", FIRST[sum % FIRST.len()], LAST[sum % LAST.len()])
}

/// The name a scenario's valid outcome is told under: `None` tells none.
pub(crate) fn told_name(asked: Asked, number: &str, sent: Option<&str>) -> Option<String> {
    match asked {
        Asked::Scenario(Scenario::NameMissing) => None,
        Asked::Scenario(Scenario::NameVerified) => Some("VERIFIED".to_owned()),
        Asked::Scenario(Scenario::NameNotAvailable) => Some("NA".to_owned()),
        Asked::Scenario(Scenario::OtherName) => Some(SOMEBODY_ELSE.to_owned()),
        _ => Some(holder(number, sent)),
    }
}

/// The numbers that [`Scenario::TechnicalOnce`] was asked with, at each gateway; hashes, not numbers.
#[derive(Debug, Default)]
pub(crate) struct FirstTimes {
    hasher: RandomState,
    seen: Mutex<HashSet<u64>>,
}

impl FirstTimes {
    /// Numbers remembered; beyond that all are forgotten.
    const REMEMBERED: usize = 100_000;

    /// Settles [`Scenario::TechnicalOnce`]: [`Scenario::Technical`] at the first call with this number,
    /// nothing later on. All else is left as it is.
    pub(crate) fn settle(&self, gateway: Gateway, number: &str, asked: Asked) -> Asked {
        if asked != Asked::Scenario(Scenario::TechnicalOnce) {
            return asked;
        }
        let hash = self.hasher.hash_one((gateway.index(), number));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= Self::REMEMBERED {
            seen.clear();
        }
        if seen.insert(hash) {
            Asked::Scenario(Scenario::Technical)
        } else {
            Asked::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_at_the_end_ask() {
        for (number, expected) in [
            ("99009911", Asked::Scenario(Scenario::PendingThenValid)),
            ("12399009943", Asked::Scenario(Scenario::TechnicalOnce)),
            ("asha99009931", Asked::Scenario(Scenario::Invalid)),
            ("12399008807", Asked::OwnRow(7)),
            ("12399009910", Asked::Nothing),
            ("1239900991", Asked::Nothing),
            ("990099111", Asked::Nothing),
            ("9009911", Asked::Nothing),
            ("990099+1", Asked::Nothing),
            ("नमस्ते990099", Asked::Nothing),
            ("", Asked::Nothing),
        ] {
            assert_eq!(asked(number), expected, "{number}");
        }
        assert_eq!(
            asked_by_vpa("asha.99009936@okhdfcbank"),
            Asked::Scenario(Scenario::Nre)
        );
        assert_eq!(asked_by_vpa("asha@99009936"), Asked::Nothing);
    }

    #[test]
    fn names_follow_what_was_asked() {
        assert_eq!(holder("123456", Some(" Asha Rao ")), "ASHA RAO");
        assert_eq!(holder("123456", None), holder("123456", Some("  ")));
        assert!(!holder("123456", None).is_empty());
        let distinct: HashSet<String> = (0..50)
            .map(|number| holder(&format!("1234{number:02}"), None))
            .collect();
        assert!(distinct.len() > 10, "numbers have names of their own");
        for (scenario, name) in [
            (Scenario::NameMissing, None),
            (Scenario::NameVerified, Some("VERIFIED")),
            (Scenario::NameNotAvailable, Some("NA")),
            (Scenario::OtherName, Some(SOMEBODY_ELSE)),
            (Scenario::PendingThenValid, Some("ASHA")),
        ] {
            let told = told_name(Asked::Scenario(scenario), "1", Some("Asha"));
            assert_eq!(told.as_deref(), name);
        }
    }

    #[test]
    fn a_number_fails_once_at_each_gateway() {
        let times = FirstTimes::default();
        let once = Asked::Scenario(Scenario::TechnicalOnce);
        let failed = Asked::Scenario(Scenario::Technical);
        assert_eq!(times.settle(Gateway::Setu, "1", once), failed);
        assert_eq!(times.settle(Gateway::Setu, "1", once), Asked::Nothing);
        assert_eq!(times.settle(Gateway::Payu, "1", once), failed);
        assert_eq!(times.settle(Gateway::Setu, "2", once), failed);
        assert_eq!(times.settle(Gateway::Setu, "3", failed), failed, "always");
    }
}
