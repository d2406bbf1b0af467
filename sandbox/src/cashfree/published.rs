//! The published sandbox data (Cashfree, "Data to test integration"): accounts, VPAs and names with
//! the outcome each is published with.

use crate::cashfree::outcome::{Finding, Outcome, RECEIVED, VALID};
use crate::cashfree::wire::{AccountStatus, AccountStatusCode, UpiStatus};
use crate::shows::Shows;

/// The published holder of one account, whom names are scored against.
const JOHN_DOE: &str = "JOHN DOE";

const INVALID_ACCOUNT: Outcome = (
    AccountStatus::Invalid,
    AccountStatusCode::InvalidAccountFail,
);
const INVALID_IFSC: Outcome = (AccountStatus::Invalid, AccountStatusCode::InvalidIfscFail);
const BLOCKED: Outcome = (AccountStatus::Invalid, AccountStatusCode::AccountBlocked);
const NRE: Outcome = (AccountStatus::Invalid, AccountStatusCode::NreAccountFail);

/// Account, IFSC, outcome, when it shows. Both must match.
///
/// "Pending, then failure" does not say which failure; it is an invalid account here, the one that
/// is the payee's and final.
const ACCOUNTS: [(&str, &str, Outcome, Shows); 15] = [
    ("026291800001191", "YESB0000262", VALID, Shows::AtOnce),
    ("00011020001772", "HDFC0000001", VALID, Shows::AtOnce),
    ("1233943142", "ICIC0000009", VALID, Shows::AtOnce),
    ("388108022658", "ICIC0000009", VALID, Shows::AtOnce),
    ("000890289871772", "SCBL0036078", VALID, Shows::AtOnce),
    ("000100289877623", "SBIN0008752", VALID, Shows::AtOnce),
    (
        "026291800001190",
        "YESB0000262",
        INVALID_ACCOUNT,
        Shows::AtOnce,
    ),
    (
        "234005000876",
        "ICIC0000007",
        INVALID_ACCOUNT,
        Shows::AtOnce,
    ),
    ("2640101002729", "CNRR0002640", INVALID_IFSC, Shows::AtOnce),
    ("1234567890", "ICIC0000001", INVALID_IFSC, Shows::AtOnce),
    ("007711000031", "HDFC0000077", RECEIVED, Shows::Never),
    ("00224412311300", "YESB0000001", VALID, Shows::Later),
    (
        "7766666351000",
        "YESB0000001",
        INVALID_ACCOUNT,
        Shows::Later,
    ),
    ("7766667989884", "RATN0000070", BLOCKED, Shows::AtOnce),
    ("7766667755761", "ICIC0000001", NRE, Shows::AtOnce),
];

/// VPAs and what is published of them, in lower case. Two are published as failing without saying how;
/// of the statuses `INVALID EXPIRED NPCI_NAME_INCORRECT` the first is what both names say: the address
/// is wrong, not the name on it.
const VPAS: [(&str, UpiStatus); 3] = [
    ("success@upi", UpiStatus::Valid),
    ("incorrect@upi", UpiStatus::Invalid),
    ("invalid@upi", UpiStatus::Invalid),
];

/// Scores of names against JOHN DOE, in lower case.
const JOHN_DOE_SCORES: [(&str, u32); 4] = [
    ("john doe", 100),
    ("john d", 85),
    ("j doe", 70),
    ("jane d", 38),
];

/// What is published of this account at this branch, if it is.
pub(super) fn bank_account(account: &str, ifsc: &str) -> Option<Finding> {
    ACCOUNTS
        .iter()
        .find(|(known, branch, ..)| *known == account && *branch == ifsc)
        .map(|&(_, _, outcome, shows)| Finding { outcome, shows })
}

/// The holder published for this account, if one is.
pub(super) fn holder(account: &str, ifsc: &str) -> Option<&'static str> {
    (account == "026291800001191" && ifsc == "YESB0000262").then_some(JOHN_DOE)
}

/// What is published of this VPA, whatever its case, if it is.
pub(super) fn vpa(vpa: &str) -> Option<UpiStatus> {
    VPAS.iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(vpa))
        .map(|(_, status)| *status)
}

/// The published score of a name against a name at the bank, if it is published.
pub(super) fn name_score(sent: &str, at_bank: &str) -> Option<u32> {
    if at_bank != JOHN_DOE {
        return None;
    }
    JOHN_DOE_SCORES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(sent))
        .map(|(_, score)| *score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Asked, asked};

    #[test]
    fn both_account_and_ifsc_must_match() {
        assert_eq!(
            bank_account("1234567890", "ICIC0000001").map(|finding| finding.outcome),
            Some(INVALID_IFSC)
        );
        assert_eq!(bank_account("1234567890", "ICIC0000002"), None);
        assert_eq!(bank_account("1234567891", "ICIC0000001"), None);
        assert_eq!(holder("026291800001191", "YESB0000262"), Some("JOHN DOE"));
        assert_eq!(holder("026291800001191", "AABF0008032"), None);
    }

    #[test]
    fn no_account_is_published_twice_and_none_asks_for_a_scenario() {
        for (place, (account, ifsc, ..)) in ACCOUNTS.iter().enumerate() {
            assert!(
                ACCOUNTS[..place]
                    .iter()
                    .all(|(other, branch, ..)| (other, branch) != (account, ifsc))
            );
            assert_eq!(asked(account), Asked::Nothing);
        }
    }

    #[test]
    fn vpas_are_found_whatever_their_case() {
        assert_eq!(vpa("Invalid@UPI"), Some(UpiStatus::Invalid));
        assert_eq!(vpa("incorrect@upi"), Some(UpiStatus::Invalid));
        assert_eq!(vpa("success@upi"), Some(UpiStatus::Valid));
        assert_eq!(vpa("asha@okhdfcbank"), None);
    }
}
