//! The known name that is nearest to an unknown one.

/// Least similarity (Jaro-Winkler) of a name that a merchant may have meant.
const SIMILAR: f64 = 0.82;
/// Words that merchants' systems use for a field, without marks and in lower case.
const SYNONYMS: [(&str, &str); 30] = [
    ("acno", "account_number"),
    ("accno", "account_number"),
    ("accnumber", "account_number"),
    ("accountno", "account_number"),
    ("bankaccount", "account_number"),
    ("bankaccountnumber", "account_number"),
    ("bankaccounts", "bank_account_details"),
    ("upi", "vpa"),
    ("upiid", "vpa"),
    ("upiaddress", "vpa"),
    ("virtualpaymentaddress", "vpa"),
    ("name", "beneficiary_name"),
    ("accountholder", "beneficiary_name"),
    ("accountholdername", "beneficiary_name"),
    ("holdername", "beneficiary_name"),
    ("payeename", "beneficiary_name"),
    ("phone", "mobile_number"),
    ("phonenumber", "mobile_number"),
    ("timeout", "wait_seconds"),
    ("action", "command"),
    ("limit", "count"),
    ("skip", "offset"),
    ("count", "limit"),
    ("cursor", "after"),
    ("startingafter", "after"),
    ("endingbefore", "before"),
    ("eventtypes", "event_names"),
    ("enabledevents", "event_names"),
    ("username", "basic_user"),
    ("password", "basic_password"),
];

/// Returns the known name that a merchant may have meant: the same in another style (`accountNumber`), with a part more
/// (`ifsc_code`), one of its synonyms, or a misspelt one.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    // The last part of `data[ifsc]` is compared, too.
    let last = unknown
        .trim_end_matches(']')
        .rsplit(['[', '.', '\\', '/'])
        .next();
    let named = [Some(unknown), last].into_iter().flatten();
    let mut best: Option<(f64, &str)> = None;
    for plain in named.map(plain).filter(|plain| !plain.is_empty()) {
        let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == plain);
        for &name in known {
            let likeness = if synonym.is_some_and(|(_, field)| *field == name) {
                1.0
            } else {
                likeness(&plain, &self::plain(name))
            };
            if likeness >= SIMILAR && best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

fn likeness(unknown: &str, known: &str) -> f64 {
    let (short, long) = if unknown.len() < known.len() {
        (unknown, known)
    } else {
        (known, unknown)
    };
    if short.len() > 2 && (long.starts_with(short) || long.ends_with(short)) {
        return 0.95;
    }
    strsim::jaro_winkler(unknown, known)
}

/// A name without marks and in lower case.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric()).take(64);
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = [
            "ifsc",
            "account_number",
            "beneficiary_name",
            "bank_code",
            "vpa",
            "bank_account_details",
            "upi_details",
            "command",
            "wait_seconds",
            "gateway_id",
            "gateway_reference_id",
            "fresh",
            "metadata",
            "consent.obtained",
            "consent.purpose",
            "consent.timestamp",
        ];
        for (unknown, expected) in [
            ("beneficary_name", Some("beneficiary_name")),
            ("beneficiaryName", Some("beneficiary_name")),
            ("name", Some("beneficiary_name")),
            ("waitSeconds", Some("wait_seconds")),
            ("accountNumber", Some("account_number")),
            ("AccountNumber", Some("account_number")),
            ("account_no", Some("account_number")),
            ("accont_number", Some("account_number")),
            ("ifscCode", Some("ifsc")),
            ("IFSC", Some("ifsc")),
            ("ifsc_code", Some("ifsc")),
            ("upi_id", Some("vpa")),
            ("vpa_address", Some("vpa")),
            ("bank_accounts", Some("bank_account_details")),
            ("bankAccountDetails", Some("bank_account_details")),
            ("upi_detail", Some("upi_details")),
            ("gatewayId", Some("gateway_id")),
            ("gateway", Some("gateway_id")),
            ("meta_data", Some("metadata")),
            ("consentPurpose", Some("consent.purpose")),
            ("consent.time_stamp", Some("consent.timestamp")),
            ("data[ifsc]", Some("ifsc")),
            ("?ifsc", Some("ifsc")),
            ("status", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown, &known), expected, "{unknown}");
        }
    }
}
