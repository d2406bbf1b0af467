//! The published simulation data (Decentro, "Validate Bank Account (V3)"), and what the scenarios all
//! gateways have come to here. Decentro's own table has one row, 0: the account that a penniless check
//! cannot tell and a penny drop finds valid.

use crate::scenario::{Asked, Scenario};
use crate::shows::Shows;

/// What is found of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Valid,
    /// It is not a valid account, and why.
    Invalid(&'static str),
    /// A non-resident's.
    Nre,
    /// Nothing was found out.
    Inconclusive,
}

/// What is published of an account, or asked for by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Account {
        /// By a check that moves no money.
        penniless: Outcome,
        /// By a penny drop.
        pennydrop: Outcome,
        shows: Shows,
    },
    /// The bank's side fails, before any money moves.
    ProviderError,
}

/// The same by both ways, at once.
const fn found(outcome: Outcome) -> Finding {
    shown(outcome, Shows::AtOnce)
}

const fn shown(outcome: Outcome, shows: Shows) -> Finding {
    Finding::Account {
        penniless: outcome,
        pennydrop: outcome,
        shows,
    }
}

const INVALID: Outcome = Outcome::Invalid("Account number is invalid");

/// Account, IFSC, finding. Both must match.
const ACCOUNTS: [(&str, &str, Finding); 2] = [
    ("121416119212", "SBIN0001077", found(Outcome::Valid)),
    ("12321890150", "DBSS0IN0811", found(INVALID)),
];

/// What is found of this account at this branch. `asked` is what the number asks for.
pub(super) fn bank_account(account: &str, ifsc: &str, asked: Asked) -> Finding {
    let published = ACCOUNTS
        .iter()
        .find(|(known, branch, _)| *known == account && branch.eq_ignore_ascii_case(ifsc));
    match (published, asked) {
        (Some((_, _, finding)), _) => *finding,
        (None, Asked::Scenario(scenario)) => of_scenario(scenario),
        (None, Asked::OwnRow(0)) => Finding::Account {
            penniless: Outcome::Inconclusive,
            pennydrop: Outcome::Valid,
            shows: Shows::AtOnce,
        },
        (None, Asked::OwnRow(_) | Asked::Nothing) => found(Outcome::Valid),
    }
}

fn of_scenario(scenario: Scenario) -> Finding {
    match scenario {
        Scenario::PendingThenValid => shown(Outcome::Valid, Shows::Later),
        Scenario::PendingThenInvalid => shown(INVALID, Shows::Later),
        Scenario::PendingForever => shown(Outcome::Valid, Shows::Never),
        Scenario::NameMissing
        | Scenario::NameVerified
        | Scenario::NameNotAvailable
        | Scenario::OtherName => found(Outcome::Valid),
        Scenario::Invalid => found(INVALID),
        Scenario::InvalidIfsc => found(Outcome::Invalid("IFSC is invalid")),
        Scenario::Closed => found(Outcome::Invalid("Account is closed")),
        Scenario::Blocked => found(Outcome::Invalid("Account is blocked or frozen")),
        Scenario::Fraud => found(Outcome::Invalid("Account is suspected of fraud")),
        Scenario::Nre => found(Outcome::Nre),
        Scenario::Inconclusive => found(Outcome::Inconclusive),
        Scenario::Technical | Scenario::TechnicalOnce => Finding::ProviderError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_account_and_ifsc_must_match() {
        let find = |account, ifsc| bank_account(account, ifsc, Asked::Nothing);
        assert_eq!(find("12321890150", "DBSS0IN0811"), found(INVALID));
        assert_eq!(find("12321890150", "dbss0in0811"), found(INVALID));
        assert_eq!(find("12321890150", "SBIN0001077"), found(Outcome::Valid));
        assert_eq!(find("121416119212", "SBIN0001077"), found(Outcome::Valid));
    }

    #[test]
    fn what_is_published_goes_before_what_is_asked_for() {
        let asked = Asked::Scenario(Scenario::Nre);
        assert_eq!(
            bank_account("12321890150", "DBSS0IN0811", asked),
            found(INVALID)
        );
        assert_eq!(
            bank_account("99009936", "DBSS0IN0811", asked),
            found(Outcome::Nre)
        );
    }
}
