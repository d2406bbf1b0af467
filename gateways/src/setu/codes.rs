//! Meaning of Setu's words.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::{Meaning, contains_any};

/// Returns the meaning of `code` (BAV codes, docs.setu.co, with their prefix) and `verification` (`success`, `failed`,
/// `pending`) of a bank reply. The code decides. If `verification` contradicts the code, neither counts, except beside
/// `BAVM0`, where the credit failed and not the account. `failed` alone does not say whether the account or the transfer failed.
pub(super) fn bank(verification: &str, code: &str) -> Meaning {
    let verification = verification.to_ascii_lowercase();
    let code = code.to_ascii_uppercase();
    let meaning = if code.is_empty() {
        None
    } else {
        Some(code.strip_prefix("BAV").map_or(Meaning::Unlisted, bav))
    };
    match (verification.as_str(), meaning) {
        // No outcome yet; the other fields do not count.
        ("pending", _) => Meaning::of(Class::Pending),
        ("failed", Some(_)) if code == "BAV00" => Meaning::Contradictory,
        ("success", meaning) => {
            let success = Meaning::of(Class::Valid);
            meaning.map_or(success, |meaning| success.refined_by(meaning))
        }
        ("failed" | "", Some(meaning)) => meaning,
        // A word in no table may say no.
        (_, Some(Meaning::Listed(class, failure))) if class != Class::Valid => {
            Meaning::HalfListed(class, failure)
        }
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of a BAV code without its prefix; lists all codes that Setu publishes.
fn bav(code: &str) -> Meaning {
    match code {
        // M0: the account was found, the rupee did not arrive.
        "00" | "M0" => Meaning::of(Class::Valid),
        "52" | "M1" | "MS" => Meaning::invalid(FailureCode::InvalidAccount),
        "92" | "MJ" | "1008" => Meaning::invalid(FailureCode::InvalidIfsc),
        "M5" => Meaning::invalid(FailureCode::AccountClosed),
        // Closed or frozen, blocked or frozen: Setu does not say which.
        "84" | "M3" => Meaning::invalid(FailureCode::AccountBlocked),
        "M4" => Meaning::invalid(FailureCode::NreAccount),
        "34" => Meaning::review(),
        // A bank, the switch or Setu itself was down, slow or sent a malformed message.
        "08" | "20" | "51" | "76" | "91" | "CU" | "FLD" | "IU" | "NC" | "NF" | "RM1" | "XF"
        | "XU" | "1012" | "2000" | "2001" => Meaning::of(Class::Retryable),
        // A limit of the account, and of transfers to it.
        "17" | "78" | "M2" | "M8" | "MI" => Meaning::inconclusive(FailureCode::LimitReached),
        // The bank takes no transfer from person to account, or none to this account.
        "M7" | "MP" => Meaning::inconclusive(FailureCode::ImpsNotEnabled),
        // The account may exist: the bank does not accept this transfer. M6 is a limit of the bank itself.
        "03" | "12" | "M6" | "MN" | "MQ" | "MT" | "MW" | "NR" | "REF" | "RET" => {
            Meaning::of(Class::Inconclusive)
        }
        // Duplicate references and traces, and requests that Setu built wrongly for this product instance.
        "19" | "94" | "1000" | "1001" | "1004" | "1009" | "1010" | "1013" | "1014" | "1015"
        | "1016" | "1017" => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of `status` and `message` of a penniless check. `ERROR` is no rejection by itself: only its documented
/// message decides.
pub(super) fn penniless(status: &str, message: &str) -> Meaning {
    let is_rejected = contains_any(message, &["invalid bank details"]);
    match status.to_ascii_uppercase().as_str() {
        "SUCCESS" if is_rejected => Meaning::Contradictory,
        "SUCCESS" => Meaning::of(Class::Valid),
        "ERROR" if is_rejected => Meaning::invalid(FailureCode::InvalidAccount),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of an error reply to a VPA call or a penniless check, which move no money and may be repeated.
pub(super) fn free_error(status: u16) -> Option<Meaning> {
    match status {
        408 | 409 | 425 | 500.. => Some(Meaning::of(Class::Retryable)),
        _ => bank_error(status),
    }
}

/// Returns the meaning of `status` of a VPA verification by UMAP.
pub(super) fn vpa(status: &str) -> Meaning {
    match status.to_ascii_lowercase().as_str() {
        "pending" => Meaning::of(Class::Pending),
        "valid" => Meaning::of(Class::Valid),
        "invalid" => Meaning::invalid(FailureCode::InvalidVpa),
        // "Failed to fetch VPA details": nothing is known about the address.
        "failed" => Meaning::of(Class::Retryable),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of an error reply to a bank call, which moves money: `None` if Setu may have acted on the call. Setu
/// publishes no 4xx for bank calls, so each has its meaning in HTTP.
pub(super) fn bank_error(status: u16) -> Option<Meaning> {
    match status {
        401..=404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        // Setu rejects the form of the details; another gateway may accept them.
        400 | 422 => Some(Meaning::of(Class::Inconclusive)),
        // Time-out, conflict with a call under way, too early: the call may be under way.
        408 | 409 | 425 => None,
        405..=499 => Some(Meaning::Unlisted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published list, in its order.
    const PUBLISHED: [&str; 58] = [
        "BAV1000", "BAV00", "BAV03", "BAV08", "BAV12", "BAV17", "BAV19", "BAV20", "BAV34", "BAV52",
        "BAV76", "BAV78", "BAV84", "BAV91", "BAV92", "BAV94", "BAVNF", "BAVCU", "BAVXF", "BAVFLD",
        "BAVIU", "BAVM0", "BAVM1", "BAVM2", "BAVM3", "BAVM4", "BAVM5", "BAVM6", "BAVM7", "BAVM8",
        "BAVMI", "BAVMJ", "BAVMN", "BAVMP", "BAVMQ", "BAVMS", "BAVREF", "BAVMT", "BAVMW", "BAV51",
        "BAVNC", "BAVNR", "BAVRET", "BAVRM1", "BAV1009", "BAVXU", "BAV1001", "BAV1004", "BAV1008",
        "BAV1010", "BAV1012", "BAV1013", "BAV1014", "BAV1015", "BAV1016", "BAV1017", "BAV2000",
        "BAV2001",
    ];

    fn class(verification: &str, code: &str) -> Option<Class> {
        match bank(verification, code) {
            Meaning::Listed(class, _) => Some(class),
            Meaning::HalfListed(..) | Meaning::Unlisted | Meaning::Contradictory => None,
        }
    }

    #[test]
    fn every_published_code_has_the_class_of_the_contract() {
        let table = [
            (Class::Valid, "00 M0"),
            (Class::Invalid, "52 M1 MS MJ 92 1008 M5 84 M3 M4"),
            (Class::Review, "34"),
            (
                Class::Retryable,
                "08 76 91 51 CU XU NC NF IU FLD RM1 XF 20 1012 2000 2001",
            ),
            (
                Class::Inconclusive,
                "12 MP M7 MT 17 78 M2 M6 M8 MI MN MW MQ 03 NR RET REF",
            ),
            (
                Class::Misconfigured,
                "19 94 1013 1000 1001 1004 1009 1010 1014 1015 1016 1017",
            ),
        ];
        let mut seen = 0;
        for (expected, codes) in table {
            for code in codes.split(' ') {
                let code = format!("BAV{code}");
                assert!(PUBLISHED.contains(&code.as_str()), "{code}");
                assert_eq!(class("", &code), Some(expected), "{code}");
                assert_eq!(class("", &code.to_lowercase()), Some(expected), "{code}");
                seen += 1;
            }
        }
        assert_eq!(seen, PUBLISHED.len());
    }

    #[test]
    fn a_failure_code_comes_with_every_failure_and_never_with_a_success() {
        for code in PUBLISHED {
            let response = bank("", code).response(code);
            let fails = matches!(response.class, Class::Invalid | Class::Review);
            let may_say_why = fails || response.class == Class::Inconclusive;
            assert!(response.failure.is_some() || !fails, "{code}");
            assert!(response.failure.is_none() || may_say_why, "{code}");
        }
        for (code, failure) in [
            ("BAVM1", FailureCode::InvalidAccount),
            ("BAV1008", FailureCode::InvalidIfsc),
            ("BAVM5", FailureCode::AccountClosed),
            ("BAVM3", FailureCode::AccountBlocked),
            ("BAVM8", FailureCode::LimitReached),
            ("BAVMP", FailureCode::ImpsNotEnabled),
            ("BAVM4", FailureCode::NreAccount),
            ("BAV34", FailureCode::SuspectedFraud),
        ] {
            assert_eq!(
                bank("failed", code).response(code).failure,
                Some(failure),
                "{code}"
            );
        }
        assert_eq!(vpa("invalid"), Meaning::invalid(FailureCode::InvalidVpa));
    }

    #[test]
    fn words_that_contradict_each_other_do_not_count() {
        for (verification, code) in [
            ("failed", "BAV00"),
            ("success", "BAVM1"),
            ("success", "BAV34"),
            ("success", "BAV91"),
            ("success", "BAVMP"),
        ] {
            let meaning = bank(verification, code);
            assert_eq!(meaning, Meaning::Contradictory, "{verification} {code}");
        }
        assert_eq!(class("success", "BAV00"), Some(Class::Valid));
        assert_eq!(class("success", "BAVM0"), Some(Class::Valid));
        assert_eq!(class("failed", "BAVM0"), Some(Class::Valid));
        assert_eq!(class("pending", "BAV00"), Some(Class::Pending));
        assert_eq!(class("SUCCESS", ""), Some(Class::Valid));
    }

    #[test]
    fn the_word_decides_where_the_code_is_in_no_table_and_the_other_way_round() {
        let valid = Meaning::HalfListed(Class::Valid, None);
        assert_eq!(bank("success", "BAVZZ"), valid);
        let invalid = Meaning::HalfListed(Class::Invalid, Some(FailureCode::InvalidAccount));
        assert_eq!(bank("maybe", "BAVM1"), invalid);
        for word in ["maybe", "failure", "false"] {
            assert_eq!(bank(word, "BAV00"), Meaning::Unlisted, "{word}");
        }
    }

    #[test]
    fn only_the_documented_error_of_a_penniless_check_is_a_rejection() {
        let invalid = Meaning::invalid(FailureCode::InvalidAccount);
        assert_eq!(penniless("success", ""), Meaning::of(Class::Valid));
        assert_eq!(penniless("ERROR", "Invalid bank details"), invalid);
        assert_eq!(
            penniless("SUCCESS", "Invalid bank details"),
            Meaning::Contradictory
        );
        for (status, message) in [("ERROR", "Bank is down"), ("ERROR", ""), ("FAILED", "")] {
            assert_eq!(penniless(status, message), Meaning::Unlisted, "{message}");
        }
        assert_eq!(free_error(500), Some(Meaning::of(Class::Retryable)));
    }

    #[test]
    fn a_word_in_no_table_is_unlisted() {
        for (verification, code) in [
            ("failed", ""),
            ("failed", "BAVZZ"),
            // The prefix belongs to the code.
            ("failed", "M1"),
            ("failed", "BAV"),
            ("maybe", ""),
        ] {
            assert_eq!(
                bank(verification, code),
                Meaning::Unlisted,
                "{verification} {code}"
            );
        }
        assert_eq!(vpa("perhaps"), Meaning::Unlisted);
        assert_eq!(bank_error(418), Some(Meaning::Unlisted));
    }

    #[test]
    fn an_error_that_may_follow_the_rupee_is_no_response() {
        for status in [301, 408, 409, 425, 500, 502, 503, 504] {
            assert_eq!(bank_error(status), None, "{status}");
        }
        for status in 400..500 {
            let classes = [bank_error(status), free_error(status)];
            for class in classes.into_iter().flatten().map(Meaning::class) {
                let payees = [Class::Valid, Class::Invalid, Class::Review];
                assert!(!payees.contains(&class), "{status}");
            }
        }
        for status in [401, 402, 403, 404] {
            assert_eq!(bank_error(status), Some(Meaning::of(Class::Misconfigured)));
        }
        let again = Some(Meaning::of(Class::Retryable));
        assert_eq!(free_error(500), again, "a lookup moves no money");
        assert_eq!(free_error(302), None);
    }
}
