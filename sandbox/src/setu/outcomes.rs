//! Setu's outcomes: the published test data (Setu, BAV sync and async API), the table of BAV codes, and
//! Setu's words for the common scenarios.

use crate::scenario::{Outcome, Scenario, Timing};

/// A BAV code with its message: the table's words and spelling, where no published reply has others.
pub(super) type BavCode = (&'static str, &'static str);

/// The outcome of a bank verification; `None`: an HTTP 500, as the bank's service failed.
pub(super) type BankOutcome = Option<BavCode>;

/// The account was credited. The published replies have other words than the table.
const APPROVED: BavCode = ("BAV00", "Account exists and is active.");
/// The account or its IFSC is invalid, in the published replies' words.
const INVALID: BavCode = ("BAVM1", "This account does not exist or is invalid.");
const NOT_VALID_FOR_ACCOUNT: BavCode = ("BAVM1", "This transaction is not valid for this account.");
const LIMIT_REACHED: BavCode = (
    "BAVM1",
    "The transaction limit for this account may have been reached.",
);

/// The published accounts: account, IFSC, outcome, timing. Both account and IFSC must match.
///
/// The first is published for the sync API too, the last for it alone, the others for the async API; here
/// both APIs reply alike. All published failures have BAVM1, each with its own message.
const ACCOUNTS: [(&str, &str, BankOutcome, Timing); 7] = [
    ("1234567890", "ABCD0123456", Some(APPROVED), Timing::AtOnce),
    (
        "1234567890",
        "ABCD0123457",
        Some(NOT_VALID_FOR_ACCOUNT),
        Timing::AtOnce,
    ),
    (
        "1234567890",
        "ABCD0123458",
        Some(LIMIT_REACHED),
        Timing::AtOnce,
    ),
    ("1234567890", "ABCD0123459", None, Timing::AtOnce),
    ("1234567890", "ABCD0123450", Some(APPROVED), Timing::Never),
    ("1234567890", "ABCD0123467", Some(INVALID), Timing::AtOnce),
    ("0987654321", "DCBA6543210", Some(INVALID), Timing::AtOnce),
];

/// Setu's table of BAV codes, in its order: code and message, a tab between.
const CODES: &str = include_str!("bav_codes.tsv");

fn codes() -> impl Iterator<Item = BavCode> {
    CODES.lines().filter_map(|line| line.split_once('\t'))
}

/// Returns whether `verification` is "success": the account was credited, or found without a credit.
pub(super) fn is_success(code: &str) -> bool {
    matches!(code, "BAV00" | "BAVM0")
}

/// Returns the outcome of an account and its timing.
pub(super) fn of_account(account: &str, ifsc: &str, scenario: Scenario) -> (BankOutcome, Timing) {
    let published = ACCOUNTS
        .iter()
        .find(|(known, branch, ..)| *known == account && *branch == ifsc);
    if let Some(&(.., outcome, timing)) = published {
        return (outcome, timing);
    }
    let code = match scenario.outcome {
        Outcome::Valid => APPROVED,
        Outcome::Invalid => INVALID,
        Outcome::InvalidIfsc => named("BAVMJ"),
        Outcome::Closed => named("BAVM5"),
        Outcome::Blocked => named("BAVM3"),
        Outcome::Fraud => named("BAV34"),
        Outcome::Nre => named("BAVM4"),
        Outcome::Inconclusive => named("BAVM7"),
        Outcome::Technical => named("BAV91"),
        Outcome::OwnRow(row) => codes().nth(row).unwrap_or(APPROVED),
    };
    (Some(code), scenario.timing)
}

/// The outcome of a penniless check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Penniless {
    /// A person's account, or a business's.
    Found {
        is_business: bool,
    },
    Invalid,
}

/// Returns the outcome of a penniless check; `None`: an HTTP 500. The first published account is a business's, and the check has
/// one word for every account that it does not find.
pub(super) fn of_penniless(account: &str, scenario: Scenario) -> Option<Penniless> {
    match scenario.outcome {
        Outcome::Inconclusive | Outcome::Technical => None,
        Outcome::Nre => Some(Penniless::Invalid),
        unusable if unusable.is_unusable() => Some(Penniless::Invalid),
        _ => Some(Penniless::Found {
            is_business: account == "1234567890",
        }),
    }
}

fn named(code: &str) -> BavCode {
    codes().find(|(known, _)| *known == code).unwrap_or(INVALID)
}

/// Returns the status of a VPA and its timing. UMAP knows valid, invalid and failed only.
pub(super) fn of_vpa(scenario: Scenario) -> (&'static str, Timing) {
    let status = match scenario.outcome {
        Outcome::Inconclusive | Outcome::Technical => "failed",
        unusable if unusable.is_unusable() => "invalid",
        _ => "valid",
    };
    (status, scenario.timing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Gateway;
    use crate::scenario::FirstCalls;

    fn found(account: &str, ifsc: &str) -> BankOutcome {
        let scenario = FirstCalls::default().scenario(Gateway("SETU"), account);
        of_account(account, ifsc, scenario).0
    }

    #[test]
    fn both_account_and_ifsc_must_match() {
        assert_eq!(found("1234567890", "ABCD0123467"), Some(INVALID));
        assert_eq!(found("1234567890", "HDFC0000001"), Some(APPROVED));
        assert_eq!(found("1234567891", "ABCD0123467"), Some(APPROVED));
        assert_eq!(found("0987654321", "ABCD0123467"), Some(APPROVED));
    }

    #[test]
    fn each_scenario_has_its_code() {
        for (row, code) in [
            (32, "BAVMJ"),
            (33, "BAVM5"),
            (34, "BAVM3"),
            (35, "BAV34"),
            (36, "BAVM4"),
            (41, "BAVM7"),
            (42, "BAV91"),
        ] {
            let outcome = found(&format!("990099{row}"), "HDFC0000001");
            assert_eq!(outcome.map(|(found, _)| found), Some(code), "{row}");
        }
    }

    #[test]
    fn every_code_has_a_row_of_its_own() {
        let all: Vec<_> = codes().collect();
        assert_eq!((all.len(), CODES.lines().count()), (58, 58));
        for (row, code) in all.iter().enumerate() {
            let account = format!("990088{row:02}");
            assert_eq!(found(&account, "HDFC0000001"), Some(*code));
            assert_eq!(named(code.0), *code);
            assert!(all[..row].iter().all(|(other, _)| *other != code.0));
            assert!(code.0.starts_with("BAV") && !code.1.is_empty());
        }
        assert_eq!(found("99008858", "HDFC0000001"), Some(APPROVED));
        assert_eq!((all[1], all[25].0), (APPROVED, "BAVM4"));
        assert_eq!(all[22], INVALID);
    }

    #[test]
    fn only_two_codes_are_a_success() {
        let successes: Vec<_> = codes().filter(|code| is_success(code.0)).collect();
        assert_eq!(successes, [APPROVED, named("BAVM0")]);
    }
}
