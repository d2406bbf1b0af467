//! What a gateway's word means for the account.

use khata_domain::validation::FailureCode;
use khata_domain::{Class, GatewayResponse};

/// No code of any gateway is longer; what is, is cut.
const LONGEST_CODE: usize = 64;

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It stands in a table of the connector's.
    Listed(Class, Option<FailureCode>),
    /// It stands in none: the safe class, counted.
    Unlisted,
}

impl Meaning {
    /// A word of this class.
    pub(crate) const fn of(class: Class) -> Self {
        Self::Listed(class, None)
    }

    /// The bank or PSP said no, for this reason.
    pub(crate) const fn invalid(failure: FailureCode) -> Self {
        Self::Listed(Class::Invalid, Some(failure))
    }

    /// The gateway suspects fraud or has blocked the account.
    pub(crate) const fn review() -> Self {
        Self::Listed(Class::Review, Some(FailureCode::SuspectedFraud))
    }

    /// Its class.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Listed(class, _) => class,
            Self::Unlisted => Class::Inconclusive,
        }
    }

    /// An answer of this meaning with nothing beside the code.
    pub(crate) fn answer(self, code: &str) -> GatewayResponse {
        let code = printable(code);
        match self {
            Self::Listed(class, failure) => GatewayResponse {
                failure,
                ..GatewayResponse::of(class, code)
            },
            Self::Unlisted => GatewayResponse::unlisted(code),
        }
    }
}

/// The code, fit for a log and a column: a gateway may put anything where its code should stand.
fn printable(code: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    code.chars()
        .take(LONGEST_CODE)
        .map(|c| if fits(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_no_table_is_safe_and_counted() {
        let answer = Meaning::Unlisted.answer("A_CODE_OF_NEXT_YEAR");
        assert!(answer.unlisted);
        assert_eq!(
            (answer.class, answer.failure, answer.code.as_str()),
            (Class::Inconclusive, None, "A_CODE_OF_NEXT_YEAR")
        );
        let answer = Meaning::invalid(FailureCode::InvalidVpa).answer("ZH");
        assert!(!answer.unlisted);
        assert_eq!(answer.failure, Some(FailureCode::InvalidVpa));
    }

    #[test]
    fn a_code_is_short_and_of_plain_characters() {
        let answer = Meaning::Unlisted.answer("no\nsuch <code>: आ");
        assert_eq!(answer.code, "no_such__code_:__");
        assert_eq!(Meaning::Unlisted.answer(&"x".repeat(900)).code.len(), 64);
    }
}
