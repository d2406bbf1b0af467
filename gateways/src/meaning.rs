//! Meaning of a gateway's words for the payee's account.

use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{CallFailure, Class, GatewayResponse, LostResponse};

use crate::body::{Body, Word};
use crate::http::Reply;

/// Maximum length of a stored code; longer codes are cut.
const MAX_CODE: usize = 64;

/// Meaning of a word, or of a status and the code beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The word is in a table of the connector.
    Listed(Class, Option<FailureCode>),
    /// One of the two words is in a table, and decides; the other one is in none, and counted.
    HalfListed(Class, Option<FailureCode>),
    /// The word is in no table: [`Class::Inconclusive`], which is safe, and counted.
    Unlisted,
    /// The words contradict each other, so neither counts.
    Contradictory,
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

    /// Returns the meaning of a word that says why the account takes no penny drop, and not that it is invalid: another gateway
    /// or method may decide.
    pub(crate) const fn inconclusive(failure: FailureCode) -> Self {
        Self::Listed(Class::Inconclusive, Some(failure))
    }

    /// Returns the meaning of suspected fraud, or of an account that the gateway blocks.
    pub(crate) const fn review() -> Self {
        Self::Listed(Class::Review, Some(FailureCode::SuspectedFraud))
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Listed(class, _) | Self::HalfListed(class, _) => class,
            Self::Unlisted | Self::Contradictory => Class::Inconclusive,
        }
    }

    /// Returns a response with this meaning and this code, and no other data.
    pub(crate) fn response(self, code: &str) -> GatewayResponse {
        let code = printable(code);
        match self {
            Self::Listed(class, failure) | Self::HalfListed(class, failure) => GatewayResponse {
                failure,
                unlisted: matches!(self, Self::HalfListed(..)),
                ..GatewayResponse::of(class, code)
            },
            Self::Unlisted | Self::Contradictory => GatewayResponse::unlisted(code),
        }
    }

    /// Returns the meaning of a status beside a code that says more. The status decides where the code is in no table, and no code
    /// makes an account valid whose status is in none. A code that says the opposite of the status, or comes beside a status that
    /// decides although it does not, contradicts it.
    pub(crate) fn refined_by(self, code: Self) -> Self {
        use Meaning::{Contradictory, HalfListed, Listed, Unlisted};
        match (self, code) {
            (Contradictory, _) | (_, Contradictory) => Contradictory,
            (Unlisted, Unlisted | Listed(Class::Valid, _) | HalfListed(Class::Valid, _)) => {
                Unlisted
            }
            (Listed(class, failure) | HalfListed(class, failure), Unlisted)
            | (Unlisted, Listed(class, failure) | HalfListed(class, failure)) => {
                HalfListed(class, failure)
            }
            (
                Listed(status, _) | HalfListed(status, _),
                Listed(class, _) | HalfListed(class, _),
            ) => {
                let verdict = |class| match class {
                    Class::Valid => Some(true),
                    Class::Invalid | Class::Review => Some(false),
                    Class::Pending
                    | Class::Retryable
                    | Class::Inconclusive
                    | Class::Misconfigured => None,
                };
                if status == Class::Pending || class == Class::Pending {
                    Self::of(Class::Pending)
                } else if verdict(status) == verdict(class) {
                    code
                } else {
                    Contradictory
                }
            }
        }
    }
}

/// A status and the code beside it, with the names of their fields. The code is more exact; the status decides where the code is
/// absent or unknown.
pub(crate) struct Words<'a> {
    pub(crate) status: (&'static str, &'a Word),
    pub(crate) code: (&'static str, &'a Word),
}

impl Words<'_> {
    /// Returns the meaning of the words by these tables; `None` if neither is there, or none that can be read.
    pub(crate) fn meaning(
        &self,
        body: &Body,
        status: impl Fn(&str) -> Meaning,
        code: impl Fn(&str) -> Meaning,
    ) -> Option<Meaning> {
        let meaning = match (self.status.1, self.code.1) {
            // A status that cannot be read may say the opposite of the code.
            (Word::Contradictory, _)
            | (_, Word::Contradictory)
            | (Word::Unreadable, Word::Of(_)) => Meaning::Contradictory,
            (Word::Of(word), Word::Of(refining)) => status(word).refined_by(code(refining)),
            (Word::Of(word), _) => status(word),
            (_, Word::Of(word)) => code(word),
            _ => return None,
        };
        if meaning == Meaning::Contradictory {
            body.note(self.status.0);
            body.note(self.code.0);
        }
        Some(meaning)
    }

    /// Returns the word to record.
    pub(crate) fn recorded(&self) -> &str {
        let code = self.code.1.as_str();
        if code.is_empty() {
            self.status.1.as_str()
        } else {
            code
        }
    }
}

/// Returns the meaning of a word that decides alone, by this table; `None` if there is none that can be read.
pub(crate) fn meaning_of(word: &Word, table: impl Fn(&str) -> Meaning) -> Option<Meaning> {
    match word {
        Word::Of(word) => Some(table(word)),
        Word::Contradictory => Some(Meaning::Contradictory),
        Word::Absent | Word::Blank | Word::Unreadable => None,
    }
}

/// Returns the response with this meaning and this code. Without a meaning, or with a contradictory one, the response counts as
/// lost: a lookup, if there is one, finds the outcome without a second rupee.
pub(crate) fn conclude(
    body: &Body,
    meaning: Option<Meaning>,
    code: &str,
    without: &str,
) -> CallResult {
    match meaning {
        Some(Meaning::Contradictory) => Err(body.unclear("contradictory response")),
        Some(meaning) => Ok(meaning.response(code)),
        None => Err(body.unclear(without)),
    }
}

/// Returns the response that an error reply to a validating call means; a lost response if the meaning is `None`, because
/// the gateway may have acted on the call.
pub(crate) fn error_response(
    reply: &Reply,
    body: &Body,
    meaning: Option<Meaning>,
    code: &str,
) -> CallResult {
    let meaning =
        meaning.ok_or_else(|| body.lost(&format!("failed with status {}", reply.status)))?;
    let may_retry = meaning.class() == Class::Retryable;
    Ok(body.noted(GatewayResponse {
        retry_after: may_retry.then(|| reply.retry_after()).flatten(),
        ..meaning.response(&reply.code_or_status(code))
    }))
}

/// Returns the failure of a call on which the gateway may have acted.
pub(crate) fn lost(reason: impl Into<String>) -> CallFailure {
    CallFailure::ResponseLost(LostResponse::from(reason.into()))
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
    fn a_code_refines_its_status_and_never_turns_it_around() {
        use FailureCode::{AccountClosed, InvalidAccount};
        let (valid, invalid) = (Meaning::of(Class::Valid), Meaning::invalid(InvalidAccount));
        let (closed, down) = (
            Meaning::invalid(AccountClosed),
            Meaning::of(Class::Retryable),
        );
        let (pending, unsure) = (
            Meaning::of(Class::Pending),
            Meaning::of(Class::Inconclusive),
        );
        for (status, code, meaning) in [
            (valid, valid, valid),
            (invalid, closed, closed),
            (invalid, Meaning::review(), Meaning::review()),
            (down, unsure, unsure),
            (pending, valid, pending),
            (invalid, pending, pending),
            (
                valid,
                Meaning::Unlisted,
                Meaning::HalfListed(Class::Valid, None),
            ),
            (
                invalid,
                Meaning::Unlisted,
                Meaning::HalfListed(Class::Invalid, Some(InvalidAccount)),
            ),
            (
                Meaning::Unlisted,
                closed,
                Meaning::HalfListed(Class::Invalid, Some(AccountClosed)),
            ),
            (Meaning::Unlisted, Meaning::Unlisted, Meaning::Unlisted),
            (Meaning::Unlisted, valid, Meaning::Unlisted),
            (valid, invalid, Meaning::Contradictory),
            (invalid, valid, Meaning::Contradictory),
            (valid, down, Meaning::Contradictory),
            (down, invalid, Meaning::Contradictory),
        ] {
            assert_eq!(status.refined_by(code), meaning, "{status:?} {code:?}");
        }
        let half = Meaning::HalfListed(Class::Invalid, Some(InvalidAccount)).response("A_CODE");
        assert!(half.unlisted && half.class == Class::Invalid);
    }

    #[test]
    fn a_code_is_cut_to_64_printable_characters() {
        let response = Meaning::Unlisted.response("no\nsuch <code>: आ");
        assert_eq!(response.code, "no_such__code_:__");
        assert_eq!(Meaning::Unlisted.response(&"x".repeat(900)).code.len(), 64);
    }
}
