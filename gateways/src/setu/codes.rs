//! Meaning of Setu's words.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::Meaning;

/// Returns the meaning of `code` (BAV codes, docs.setu.co, with their prefix) and `verification` (`success`, `failed`,
/// `pending`) of a bank reply. The code decides. If `verification` contradicts the code, neither counts, except beside
/// `BAVM0`, where the credit failed and not the account.
pub(super) fn bank(verification: &str, code: &str) -> Meaning {
    let verification = verification.to_ascii_lowercase();
    let code = code.to_ascii_uppercase();
    match (verification.as_str(), code.as_str()) {
        // No outcome yet; the other members do not count.
        ("pending", _) => Meaning::of(Class::Pending),
        ("success", "") => Meaning::of(Class::Valid),
        ("failed", "BAV00") => Meaning::Unlisted,
        _ => match code.strip_prefix("BAV").map(bav) {
            Some(Meaning::Listed(_, Some(_))) if verification == "success" => Meaning::Unlisted,
            Some(meaning) => meaning,
            None => Meaning::Unlisted,
        },
    }
}

/// Returns the meaning of a BAV code without its prefix; lists all codes that Setu publishes.
fn bav(code: &str) -> Meaning {
    match code {
        // M0: the account was found, the rupee did not arrive.
        "00" | "M0" => Meaning::of(Class::Valid),
        "52" | "M1" | "MS" => Meaning::invalid(FailureCode::InvalidAccount),
        "92" | "MJ" | "1008" => Meaning::invalid(FailureCode::InvalidIfsc),
        // Blocked or frozen, closed.
        "84" | "M3" | "M5" => Meaning::invalid(FailureCode::AccountBlocked),
        "M4" => Meaning::invalid(FailureCode::NreAccount),
        "34" => Meaning::review(),
        // A bank, the switch or Setu itself was down, slow or sent a malformed message.
        "08" | "20" | "51" | "76" | "91" | "CU" | "FLD" | "IU" | "NC" | "NF" | "RM1" | "XF"
        | "XU" | "1012" | "2000" | "2001" => Meaning::of(Class::Retryable),
        // The account may exist: the bank does not accept this kind of transfer, or no further one today.
        "03" | "12" | "17" | "78" | "M2" | "M6" | "M7" | "M8" | "MI" | "MN" | "MP" | "MQ"
        | "MT" | "MW" | "NR" | "REF" | "RET" => Meaning::of(Class::Inconclusive),
        // Duplicate references and traces, and requests that Setu built wrongly for this product instance.
        "19" | "94" | "1000" | "1001" | "1004" | "1009" | "1010" | "1013" | "1014" | "1015"
        | "1016" | "1017" => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
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

/// Returns the meaning of an error reply to a VPA call, which moves no money and may be repeated.
pub(super) fn vpa_error(status: u16) -> Option<Meaning> {
    match status {
        408 | 409 | 425 | 500.. => Some(Meaning::of(Class::Retryable)),
        _ => bank_error(status),
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
            Meaning::Unlisted => None,
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
    fn a_failure_code_comes_with_every_failure_and_only_then() {
        for code in PUBLISHED {
            let response = bank("", code).response(code);
            let fails = matches!(response.class, Class::Invalid | Class::Review);
            assert_eq!(response.failure.is_some(), fails, "{code}");
        }
        for (code, failure) in [
            ("BAVM1", FailureCode::InvalidAccount),
            ("BAV1008", FailureCode::InvalidIfsc),
            ("BAVM5", FailureCode::AccountBlocked),
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
    fn a_word_that_contradicts_its_code_is_unlisted() {
        assert_eq!(class("success", "BAV00"), Some(Class::Valid));
        assert_eq!(class("failed", "BAV00"), None);
        assert_eq!(class("failed", "BAVM0"), Some(Class::Valid));
        assert_eq!(class("success", "BAVM1"), None);
        assert_eq!(class("success", "BAV34"), None);
        assert_eq!(class("success", "BAV91"), Some(Class::Retryable));
        assert_eq!(class("pending", "BAV00"), Some(Class::Pending));
        assert_eq!(class("SUCCESS", ""), Some(Class::Valid));
    }

    #[test]
    fn a_word_in_no_table_is_unlisted() {
        for (verification, code) in [
            ("failed", ""),
            ("failed", "BAVZZ"),
            ("success", "BAVZZ"),
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
            let classes = [bank_error(status), vpa_error(status)];
            for class in classes.into_iter().flatten().map(Meaning::class) {
                let payees = [Class::Valid, Class::Invalid, Class::Review];
                assert!(!payees.contains(&class), "{status}");
            }
        }
        for status in [401, 402, 403, 404] {
            assert_eq!(bank_error(status), Some(Meaning::of(Class::Misconfigured)));
        }
        let again = Some(Meaning::of(Class::Retryable));
        assert_eq!(vpa_error(500), again, "a lookup moves no money");
        assert_eq!(vpa_error(302), None);
    }
}
