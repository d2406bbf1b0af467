//! What PayU's words mean. Words that are in no table are `Inconclusive`: nobody's failure, and another gateway is asked.
//! All are matched without case.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::Meaning;

/// A reference that PayU has seen before.
pub(super) const DUPLICATE: &str = "1002";

/// `accountExists` of a verification.
pub(super) fn account_exists(word: &str) -> Meaning {
    match word.to_ascii_uppercase().as_str() {
        "YES" => Meaning::of(Class::Valid),
        "NO" => Meaning::invalid(FailureCode::InvalidAccount),
        "VERIFICATION_PENDING" => Meaning::of(Class::Pending),
        _ => Meaning::Unlisted,
    }
}

/// `txnStatus` of the penny's transfer (PayU, *Check transfer status*). Of a transfer that failed only a sentence tells
/// why: the one that PayU documents for an account that does not exist is believed, any other tells nothing.
pub(super) fn transfer(status: &str, sentence: &str) -> Meaning {
    match status.to_ascii_uppercase().as_str() {
        "SUCCESS" => Meaning::of(Class::Valid),
        // PayU spells the second so.
        "QUEUED" | "SCHEDULED" | "SHEDULED" | "IN_PROGRESS" | "PENDING" | "WAITING_FOR_RETRY" => {
            Meaning::of(Class::Pending)
        }
        "FAILED" | "FAILURE" if says_no_such_account(sentence) => {
            Meaning::invalid(FailureCode::InvalidAccount)
        }
        "FAILED" | "FAILURE" | "REVERSED" | "CANCELLED" => Meaning::of(Class::Inconclusive),
        _ => Meaning::Unlisted,
    }
}

/// "Invalid Benificiary MMID/Mobile Number", and spelt right.
fn says_no_such_account(sentence: &str) -> bool {
    let sentence = sentence.trim().to_ascii_lowercase();
    ["invalid benificiary mmid", "invalid beneficiary mmid"]
        .iter()
        .any(|words| sentence.starts_with(words))
}

/// `code` of a call that failed (PayU, *Error codes for payouts*). Accounts and IFSCs reach PayU in their right form, so
/// that "invalid account number" and "invalid IFSC code" are taken for its word about them.
pub(super) fn payout(code: &str, sentence: &str) -> Meaning {
    match code {
        // It is known there: what became of it is asked for, and it is not sent again under another reference.
        DUPLICATE => Meaning::of(Class::Pending),
        "1004" => Meaning::invalid(FailureCode::InvalidAccount),
        "1005" | "1022" => Meaning::invalid(FailureCode::InvalidIfsc),
        // Our reference, our purpose, a feature that is off, the merchant's limits.
        "1001" | "1010" | "1011" | "1024" | "1025" | "1032" | "1128" => {
            Meaning::of(Class::Misconfigured)
        }
        // A name it does not take; then what no call of ours holds: batches, amounts, telephone numbers, e-mail, UPI
        // transfers, cards, beneficiary ids, schedules, custom fields.
        "1007" | "1015" | "1003" | "1006" | "1008" | "1009" | "1012" | "1013" | "1014" | "1016"
        | "1017" | "1018" | "1019" | "1020" | "1021" | "1026" | "1027" | "1028" | "1030"
        | "1031" => Meaning::of(Class::Inconclusive),
        _ if is_about_balance(sentence) => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
    }
}

/// No code stands for an empty account; the sentence may.
fn is_about_balance(sentence: &str) -> bool {
    let sentence = sentence.to_ascii_lowercase();
    ["insufficient balance", "insufficient fund", "low balance"]
        .iter()
        .any(|words| sentence.contains(words))
}

/// The meaning of an error answer to a call that validates; `None` where the call may have been acted upon.
pub(super) fn error(status: u16, code: &str, sentence: &str) -> Option<Meaning> {
    match status {
        // A proxy's 408 says no more than silence does.
        ..=399 | 408 | 409 | 500.. => None,
        401 | 403 | 404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        // Its own input check, as in an answer with status 1.
        400 | 422 if !code.is_empty() || is_about_balance(sentence) => Some(payout(code, sentence)),
        400 | 422 => Some(Meaning::of(Class::Inconclusive)),
        _ => Some(Meaning::Unlisted),
    }
}

/// `isVPAValid` of a look at a UPI address.
pub(super) fn is_vpa_valid(word: &str) -> Meaning {
    match word {
        "1" => Meaning::of(Class::Valid),
        "0" => Meaning::invalid(FailureCode::InvalidVpa),
        _ => Meaning::Unlisted,
    }
}

/// Whether a command's refusal is about the merchant's key, its hash or what the merchant may do.
pub(super) fn is_about_key(sentence: &str) -> bool {
    let sentence = sentence.to_ascii_lowercase();
    [
        "hash",
        "invalid key",
        "merchant key",
        "unauthori",
        "not enabled",
        "access denied",
    ]
    .iter()
    .any(|words| sentence.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        for (word, class) in [
            ("YES", Class::Valid),
            ("yes", Class::Valid),
            ("No", Class::Invalid),
            ("VERIFICATION_PENDING", Class::Pending),
        ] {
            assert_eq!(account_exists(word).class(), class, "{word}");
        }
        for (code, meaning) in [
            ("1002", Meaning::of(Class::Pending)),
            ("1004", Meaning::invalid(FailureCode::InvalidAccount)),
            ("1005", Meaning::invalid(FailureCode::InvalidIfsc)),
            ("1022", Meaning::invalid(FailureCode::InvalidIfsc)),
            ("1001", Meaning::of(Class::Misconfigured)),
            ("1010", Meaning::of(Class::Misconfigured)),
            ("1024", Meaning::of(Class::Misconfigured)),
            ("1128", Meaning::of(Class::Misconfigured)),
            ("1015", Meaning::of(Class::Inconclusive)),
        ] {
            assert_eq!(payout(code, ""), meaning, "{code}");
        }
        let documented = (1001..=1022).chain(1024..=1028).chain(1030..=1032);
        for code in documented.chain([1128]) {
            assert_ne!(payout(&code.to_string(), ""), Meaning::Unlisted, "{code}");
        }
        for (word, class) in [("1", Class::Valid), ("0", Class::Invalid)] {
            assert_eq!(is_vpa_valid(word).class(), class, "{word}");
        }
    }

    #[test]
    fn what_is_in_no_table_is_counted() {
        assert_eq!(account_exists("MAYBE"), Meaning::Unlisted);
        assert_eq!(account_exists(""), Meaning::Unlisted);
        assert_eq!(transfer("MAYBE", ""), Meaning::Unlisted);
        assert_eq!(is_vpa_valid("2"), Meaning::Unlisted);
        for code in ["1023", "1029", "9999", ""] {
            assert_eq!(payout(code, ""), Meaning::Unlisted, "{code}");
        }
        assert_eq!(error(418, "", ""), Some(Meaning::Unlisted));
    }

    #[test]
    fn a_transfer_that_failed_says_nothing_unless_it_says_that_there_is_no_such_account() {
        for status in [
            "QUEUED",
            "SCHEDULED",
            "in_progress",
            "PENDING",
            "WAITING_FOR_RETRY",
        ] {
            assert_eq!(transfer(status, "").class(), Class::Pending, "{status}");
        }
        assert_eq!(transfer("SUCCESS", "").class(), Class::Valid);
        for status in ["FAILED", "REVERSED", "CANCELLED"] {
            let meaning = transfer(status, "Internal Error");
            assert_eq!(meaning, Meaning::of(Class::Inconclusive), "{status}");
        }
        let no_such_account = transfer("FAILED", "Invalid Benificiary MMID/Mobile Number");
        assert_eq!(
            no_such_account,
            Meaning::invalid(FailureCode::InvalidAccount)
        );
    }

    #[test]
    fn our_own_faults_are_never_the_payees() {
        let misconfigured = Some(Meaning::of(Class::Misconfigured));
        for status in [401, 403, 404] {
            assert_eq!(error(status, "1004", ""), misconfigured, "{status}");
        }
        for sentence in ["Insufficient balance in your account", "Low Balance"] {
            assert_eq!(error(400, "", sentence), misconfigured, "{sentence}");
            assert_eq!(payout("", sentence), Meaning::of(Class::Misconfigured));
        }
        assert_eq!(error(400, "", ""), Some(Meaning::of(Class::Inconclusive)));
        assert_eq!(error(429, "", ""), Some(Meaning::of(Class::Retryable)));
        for lost in [302, 408, 409, 500, 503] {
            assert_eq!(error(lost, "", ""), None, "{lost}");
        }
    }
}
