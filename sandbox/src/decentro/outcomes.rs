//! Decentro's outcomes: the published simulation data ("Validate Bank Account (V3)"), and its words for
//! the common scenarios. Decentro's own table has one row, 0: an account that a penniless check cannot
//! decide and a penny drop finds valid.

use crate::decentro::replies::Outcome;
use crate::scenario::{self, Scenario, Timing};

/// The outcome of an account by each way to validate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// By a check that moves no money.
    pub(super) penniless: Outcome,
    pub(super) pennydrop: Outcome,
    pub(super) timing: Timing,
}

const INVALID: Outcome = Outcome::Invalid("Account number is invalid");

/// The published accounts: account, IFSC, outcome. Both account and IFSC must match.
const ACCOUNTS: [(&str, &str, Outcome); 2] = [
    ("121416119212", "SBIN0001077", Outcome::Valid),
    ("12321890150", "DBSS0IN0811", INVALID),
];

/// Returns the outcome of an account; `None`: the bank's side fails before any money moves.
pub(super) fn of_account(account: &str, ifsc: &str, scenario: Scenario) -> Option<Finding> {
    let alike = |outcome, timing| Finding {
        penniless: outcome,
        pennydrop: outcome,
        timing,
    };
    let published = ACCOUNTS
        .iter()
        .find(|(known, branch, _)| *known == account && branch.eq_ignore_ascii_case(ifsc));
    if let Some(&(.., outcome)) = published {
        return Some(alike(outcome, Timing::AtOnce));
    }
    let outcome = match scenario.outcome {
        scenario::Outcome::Invalid => INVALID,
        scenario::Outcome::InvalidIfsc => Outcome::Invalid("IFSC is invalid"),
        scenario::Outcome::Closed => Outcome::Invalid("Account is closed"),
        scenario::Outcome::Blocked => Outcome::Invalid("Account is blocked or frozen"),
        scenario::Outcome::Fraud => Outcome::Invalid("Account is suspected of fraud"),
        scenario::Outcome::Nre => Outcome::Nre,
        scenario::Outcome::Inconclusive => Outcome::Inconclusive,
        scenario::Outcome::Technical => return None,
        scenario::Outcome::OwnRow(0) => {
            return Some(Finding {
                penniless: Outcome::Inconclusive,
                ..alike(Outcome::Valid, scenario.timing)
            });
        }
        scenario::Outcome::Valid | scenario::Outcome::OwnRow(_) => Outcome::Valid,
    };
    Some(alike(outcome, scenario.timing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Gateway;
    use crate::scenario::FirstCalls;

    #[test]
    fn both_account_and_ifsc_must_match_and_published_data_come_first() {
        for (account, ifsc, outcome) in [
            ("12321890150", "DBSS0IN0811", INVALID),
            ("12321890150", "dbss0in0811", INVALID),
            ("12321890150", "SBIN0001077", Outcome::Valid),
            ("121416119212", "SBIN0001077", Outcome::Valid),
            ("99009936", "DBSS0IN0811", Outcome::Nre),
        ] {
            let scenario = FirstCalls::default().scenario(Gateway("DECENTRO"), account);
            let found = of_account(account, ifsc, scenario).map(|found| found.pennydrop);
            assert_eq!(found, Some(outcome), "{account} {ifsc}");
        }
        let nre = FirstCalls::default().scenario(Gateway("DECENTRO"), "99009936");
        let found = of_account("12321890150", "DBSS0IN0811", nre).map(|found| found.pennydrop);
        assert_eq!(found, Some(INVALID));
    }
}
