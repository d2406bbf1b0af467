//! The published sandbox data (Setu, BAV sync and async API), and what the scenarios all gateways have
//! come to here.

use crate::scenario::{Asked, Scenario};
use crate::setu::codes::{self, APPROVED, BavCode, INVALID};
use crate::setu::wire::{Reason, VpaStatus};
use crate::shows::Shows;

/// What becomes of a bank verification in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// An answer with this code.
    Code(BavCode),
    /// A 500: the bank's service failed.
    UpstreamError,
}

/// What is published of an account, or asked for by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) ending: Ending,
    pub(super) shows: Shows,
}

const fn at_once(code: BavCode) -> Finding {
    Finding {
        ending: Ending::Code(code),
        shows: Shows::AtOnce,
    }
}

const fn later(code: BavCode) -> Finding {
    Finding {
        ending: Ending::Code(code),
        shows: Shows::Later,
    }
}

const NEVER: Finding = Finding {
    ending: Ending::Code(APPROVED),
    shows: Shows::Never,
};

const UPSTREAM_ERROR: Finding = Finding {
    ending: Ending::UpstreamError,
    shows: Shows::AtOnce,
};

/// Account, IFSC, finding. Both must match.
///
/// The first is published for the sync API too, the last for it alone, the others for the async API;
/// here each is answered alike by both. All published failures carry BAVM1, each with its own message.
const ACCOUNTS: [(&str, &str, Finding); 7] = [
    ("1234567890", "ABCD0123456", at_once(APPROVED)),
    (
        "1234567890",
        "ABCD0123457",
        at_once(BavCode {
            message: "This transaction is not valid for this account.",
            ..INVALID
        }),
    ),
    (
        "1234567890",
        "ABCD0123458",
        at_once(BavCode {
            message: "The transaction limit for this account may have been reached.",
            ..INVALID
        }),
    ),
    ("1234567890", "ABCD0123459", UPSTREAM_ERROR),
    ("1234567890", "ABCD0123450", NEVER),
    ("1234567890", "ABCD0123467", at_once(INVALID)),
    ("0987654321", "DCBA6543210", at_once(INVALID)),
];

/// What the bank finds for this account at this branch. `asked` is what the number asks for.
pub(super) fn bank_account(account: &str, ifsc: &str, asked: Asked) -> Finding {
    let published = ACCOUNTS
        .iter()
        .find(|(known, branch, _)| *known == account && *branch == ifsc);
    match (published, asked) {
        (Some((_, _, finding)), _) => *finding,
        (None, Asked::Scenario(scenario)) => of_scenario(scenario),
        (None, Asked::OwnRow(row)) => at_once(codes::in_row(row).unwrap_or(APPROVED)),
        (None, Asked::Nothing) => at_once(APPROVED),
    }
}

fn of_scenario(scenario: Scenario) -> Finding {
    let code = |name| at_once(codes::named(name).unwrap_or(INVALID));
    match scenario {
        Scenario::PendingThenValid => later(APPROVED),
        Scenario::PendingThenInvalid => later(INVALID),
        Scenario::PendingForever => NEVER,
        Scenario::NameMissing
        | Scenario::NameVerified
        | Scenario::NameNotAvailable
        | Scenario::OtherName => at_once(APPROVED),
        Scenario::Invalid => at_once(INVALID),
        Scenario::InvalidIfsc => code("BAVMJ"),
        Scenario::Closed => code("BAVM5"),
        Scenario::Blocked => code("BAVM3"),
        Scenario::Fraud => code("BAV34"),
        Scenario::Nre => code("BAVM4"),
        Scenario::Inconclusive => code("BAVM7"),
        Scenario::Technical | Scenario::TechnicalOnce => code("BAV91"),
    }
}

/// What becomes of a VPA's verification, and when it shows. UMAP knows valid, invalid and failed only.
pub(super) fn vpa(asked: Asked) -> (VpaStatus, Shows) {
    let Asked::Scenario(scenario) = asked else {
        return (VpaStatus::Valid, Shows::AtOnce);
    };
    match scenario {
        Scenario::PendingThenValid => (VpaStatus::Valid, Shows::Later),
        Scenario::PendingThenInvalid => (VpaStatus::Invalid, Shows::Later),
        Scenario::PendingForever => (VpaStatus::Pending, Shows::Never),
        Scenario::NameMissing
        | Scenario::NameVerified
        | Scenario::NameNotAvailable
        | Scenario::OtherName
        | Scenario::Nre => (VpaStatus::Valid, Shows::AtOnce),
        Scenario::Invalid
        | Scenario::InvalidIfsc
        | Scenario::Closed
        | Scenario::Blocked
        | Scenario::Fraud => (VpaStatus::Invalid, Shows::AtOnce),
        Scenario::Inconclusive | Scenario::Technical | Scenario::TechnicalOnce => {
            (VpaStatus::Failed, Shows::AtOnce)
        }
    }
}

/// Why a VPA's verification failed: the published sample of a reason, the only one there is.
pub(super) const FAILED: Reason = Reason {
    code: "unable-to-fulfill-request",
    desc: "unable-to-fulfill-request",
    npci_err_category: "TD",
    npci_err_code: "YG",
    npci_err_desc: "MERCHANT ERROR (PAYEE PSP)",
    npci_resp_code: "YG",
    npci_resp_desc: "MERCHANT ERROR (PAYEE PSP)",
    setu_description: "Merchant PSP error",
    suggested_action: "Merchant PSP error",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn find(account: &str, ifsc: &str) -> Finding {
        bank_account(account, ifsc, scenario::asked(account))
    }

    #[test]
    fn both_account_and_ifsc_must_match() {
        assert_eq!(find("1234567890", "ABCD0123467"), at_once(INVALID));
        assert_eq!(find("1234567890", "HDFC0000001"), at_once(APPROVED));
        assert_eq!(find("1234567891", "ABCD0123467"), at_once(APPROVED));
        assert_eq!(find("0987654321", "ABCD0123467"), at_once(APPROVED));
    }

    #[test]
    fn each_scenario_has_a_code_of_the_table() {
        for (row, code) in [
            (32, "BAVMJ"),
            (33, "BAVM5"),
            (34, "BAVM3"),
            (35, "BAV34"),
            (36, "BAVM4"),
            (41, "BAVM7"),
            (42, "BAV91"),
        ] {
            let found = find(&format!("990099{row}"), "HDFC0000001");
            assert!(
                matches!(found.ending, Ending::Code(told) if told.code == code),
                "{row}: {found:?}"
            );
        }
    }
}
