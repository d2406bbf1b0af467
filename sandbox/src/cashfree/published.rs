//! The published sandbox data (Cashfree, "Data to test integration"): accounts, VPAs and names with
//! the outcome each is published with. What is not in here is valid.

use crate::cashfree::wire::{AccountStatus, AccountStatusCode, UpiStatus};

/// What the bank says of an account in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Valid,
    InvalidAccount,
    InvalidIfsc,
    Blocked,
    Nre,
}

impl Outcome {
    /// The two words for it (Cashfree, account status code table).
    pub(super) fn status(self) -> (AccountStatus, AccountStatusCode) {
        use AccountStatus::{Invalid, Valid};
        match self {
            Self::Valid => (Valid, AccountStatusCode::AccountIsValid),
            Self::InvalidAccount => (Invalid, AccountStatusCode::InvalidAccountFail),
            Self::InvalidIfsc => (Invalid, AccountStatusCode::InvalidIfscFail),
            Self::Blocked => (Invalid, AccountStatusCode::AccountBlocked),
            Self::Nre => (Invalid, AccountStatusCode::NreAccountFail),
        }
    }
}

/// When the outcome shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    AtOnce,
    /// Pending first, for as long as the sandbox is set to.
    Later,
    Never,
}

/// What is published of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) shows: Shows,
    /// The name at the bank, where one is published.
    pub(super) holder: Option<&'static str>,
}

const fn finding(outcome: Outcome, shows: Shows) -> Finding {
    Finding {
        outcome,
        shows,
        holder: None,
    }
}

const VALID: Finding = finding(Outcome::Valid, Shows::AtOnce);
const INVALID_ACCOUNT: Finding = finding(Outcome::InvalidAccount, Shows::AtOnce);
const INVALID_IFSC: Finding = finding(Outcome::InvalidIfsc, Shows::AtOnce);
const JOHN_DOE: Finding = Finding {
    holder: Some("JOHN DOE"),
    ..VALID
};

/// Account, IFSC, finding. Both must match.
///
/// "Pending, then failure" does not say which failure; it is an invalid account here, the one that
/// is the payee's and final.
const ACCOUNTS: [(&str, &str, Finding); 15] = [
    ("026291800001191", "YESB0000262", JOHN_DOE),
    ("00011020001772", "HDFC0000001", VALID),
    ("1233943142", "ICIC0000009", VALID),
    ("388108022658", "ICIC0000009", VALID),
    ("000890289871772", "SCBL0036078", VALID),
    ("000100289877623", "SBIN0008752", VALID),
    ("026291800001190", "YESB0000262", INVALID_ACCOUNT),
    ("234005000876", "ICIC0000007", INVALID_ACCOUNT),
    ("2640101002729", "CNRR0002640", INVALID_IFSC),
    ("1234567890", "ICIC0000001", INVALID_IFSC),
    (
        "007711000031",
        "HDFC0000077",
        finding(Outcome::Valid, Shows::Never),
    ),
    (
        "00224412311300",
        "YESB0000001",
        finding(Outcome::Valid, Shows::Later),
    ),
    (
        "7766666351000",
        "YESB0000001",
        finding(Outcome::InvalidAccount, Shows::Later),
    ),
    (
        "7766667989884",
        "RATN0000070",
        finding(Outcome::Blocked, Shows::AtOnce),
    ),
    (
        "7766667755761",
        "ICIC0000001",
        finding(Outcome::Nre, Shows::AtOnce),
    ),
];

/// VPAs that are not valid, in lower case. Published as failing without saying how; of the statuses
/// `INVALID EXPIRED NPCI_NAME_INCORRECT` the first is what both names say: the address is wrong, not
/// the name on it.
const INVALID_VPAS: [&str; 2] = ["incorrect@upi", "invalid@upi"];

/// Scores of names against JOHN DOE, in lower case.
const JOHN_DOE_SCORES: [(&str, u32); 4] = [
    ("john doe", 100),
    ("john d", 85),
    ("j doe", 70),
    ("jane d", 38),
];

/// What the bank finds for this account at this branch.
pub(super) fn bank_account(account: &str, ifsc: &str) -> Finding {
    ACCOUNTS
        .iter()
        .find(|(known, branch, _)| *known == account && *branch == ifsc)
        .map_or(VALID, |(_, _, finding)| *finding)
}

/// What the payee's PSP says of this VPA, whatever its case.
pub(super) fn vpa(vpa: &str) -> UpiStatus {
    if INVALID_VPAS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(vpa))
    {
        UpiStatus::Invalid
    } else {
        UpiStatus::Valid
    }
}

/// The published score of a name against a name at the bank, if it is published.
pub(super) fn name_score(sent: &str, at_bank: &str) -> Option<u32> {
    if at_bank != "JOHN DOE" {
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

    #[test]
    fn both_account_and_ifsc_must_match() {
        assert_eq!(
            bank_account("1234567890", "ICIC0000001").outcome,
            Outcome::InvalidIfsc
        );
        assert_eq!(bank_account("1234567890", "ICIC0000002"), VALID);
        assert_eq!(bank_account("1234567891", "ICIC0000001"), VALID);
        assert_eq!(bank_account("026291800001191", "AABF0008032"), VALID);
    }

    #[test]
    fn no_account_is_published_twice() {
        for (place, (account, ifsc, _)) in ACCOUNTS.iter().enumerate() {
            assert!(
                ACCOUNTS[..place]
                    .iter()
                    .all(|(other, branch, _)| (other, branch) != (account, ifsc))
            );
        }
    }

    #[test]
    fn vpas_are_found_whatever_their_case() {
        assert_eq!(vpa("Invalid@UPI"), UpiStatus::Invalid);
        assert_eq!(vpa("incorrect@upi"), UpiStatus::Invalid);
        assert_eq!(vpa("success@upi"), UpiStatus::Valid);
        assert_eq!(vpa("asha@okhdfcbank"), UpiStatus::Valid);
    }
}
