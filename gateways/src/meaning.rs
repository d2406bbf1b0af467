//! Meaning of a gateway's words for the payee's account.

use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{CallFailure, Class, GatewayResponse};

use crate::http::Reply;

/// Maximum length of a stored code; longer codes are cut.
const MAX_CODE: usize = 64;

/// Meaning of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The word is in a table of the connector.
    Listed(Class, Option<FailureCode>),
    /// The word is in no table: [`Class::Inconclusive`], which is safe, and counted.
    Unlisted,
}

impl Meaning {
    /// Returns the meaning of a word of this class.
    pub(crate) const fn of(class: Class) -> Self {
        Self::Listed(class, None)
    }

    /// Returns the meaning of a final rejection by the bank or PSP, for this reason.
    pub(crate) const fn invalid(failure: FailureCode) -> Self {
        Self::Listed(Class::Invalid, Some(failure))
    }

    /// Returns the meaning of suspected fraud, or of an account that the gateway blocks.
    pub(crate) const fn review() -> Self {
        Self::Listed(Class::Review, Some(FailureCode::SuspectedFraud))
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Listed(class, _) => class,
            Self::Unlisted => Class::Inconclusive,
        }
    }

    /// Returns a response with this meaning and this code, and no other data.
    pub(crate) fn response(self, code: &str) -> GatewayResponse {
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

/// Returns the response that an error reply to a validating call means; a lost response if the meaning is `None`, because
/// the gateway may have acted on the call.
pub(crate) fn error_response(reply: &Reply, meaning: Option<Meaning>, code: &str) -> CallResult {
    let meaning = meaning.ok_or_else(|| lost(format!("failed with status {}", reply.status)))?;
    let may_retry = meaning.class() == Class::Retryable;
    Ok(GatewayResponse {
        retry_after: may_retry.then(|| reply.retry_after()).flatten(),
        ..meaning.response(&reply.code_or_status(code))
    })
}

/// Returns the failure of a call on which the gateway may have acted.
pub(crate) fn lost(reason: impl Into<String>) -> CallFailure {
    CallFailure::ResponseLost(reason.into())
}

/// Whether a gateway's sentence contains one of these words, in any case.
pub(crate) fn contains_any(sentence: &str, words: &[&str]) -> bool {
    let sentence = sentence.to_ascii_lowercase();
    words.iter().any(|words| sentence.contains(words))
}

/// Makes a code fit for a log and a column: a gateway may send any text in the place of its code.
fn printable(code: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    code.chars()
        .take(MAX_CODE)
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_word_is_inconclusive_and_counted() {
        let response = Meaning::Unlisted.response("A_CODE_OF_NEXT_YEAR");
        assert!(response.unlisted);
        assert_eq!(
            (response.class, response.failure, response.code.as_str()),
            (Class::Inconclusive, None, "A_CODE_OF_NEXT_YEAR")
        );
        let response = Meaning::invalid(FailureCode::InvalidVpa).response("ZH");
        assert!(!response.unlisted);
        assert_eq!(response.failure, Some(FailureCode::InvalidVpa));
    }

    #[test]
    fn a_code_is_cut_to_64_printable_characters() {
        let response = Meaning::Unlisted.response("no\nsuch <code>: आ");
        assert_eq!(response.code, "no_such__code_:__");
        assert_eq!(Meaning::Unlisted.response(&"x".repeat(900)).code.len(), 64);
    }
}
