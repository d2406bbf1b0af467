//! Accounts whose outcome is known before they are asked for: the test data that Cashfree publishes for its sandbox.

/// A bank account with a published outcome.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its number.
    pub account_number: &'static str,
    /// Its branch.
    pub ifsc: &'static str,
    /// What becomes of it in Khata.
    pub status: &'static str,
    /// `validation.failure.code`, empty unless it fails.
    pub failure: &'static str,
}

const fn known(
    account_number: &'static str,
    ifsc: &'static str,
    status: &'static str,
    failure: &'static str,
) -> Known {
    Known {
        account_number,
        ifsc,
        status,
        failure,
    }
}

/// Cashfree, "Data to test integration", in the order of the gateways contract.
pub const PUBLISHED: [Known; 15] = [
    known("026291800001191", "YESB0000262", "ACTIVE", ""),
    known("00011020001772", "HDFC0000001", "ACTIVE", ""),
    known("1233943142", "ICIC0000009", "ACTIVE", ""),
    known("388108022658", "ICIC0000009", "ACTIVE", ""),
    known("000890289871772", "SCBL0036078", "ACTIVE", ""),
    known("000100289877623", "SBIN0008752", "ACTIVE", ""),
    known(
        "026291800001190",
        "YESB0000262",
        "FAILURE",
        "INVALID_ACCOUNT",
    ),
    known("234005000876", "ICIC0000007", "FAILURE", "INVALID_ACCOUNT"),
    known("2640101002729", "CNRR0002640", "FAILURE", "INVALID_IFSC"),
    known("1234567890", "ICIC0000001", "FAILURE", "INVALID_IFSC"),
    known("007711000031", "HDFC0000077", "PENDING", ""),
    known("00224412311300", "YESB0000001", "ACTIVE", ""),
    known("7766666351000", "YESB0000001", "FAILURE", "INVALID_ACCOUNT"),
    known("7766667989884", "RATN0000070", "FAILURE", "ACCOUNT_BLOCKED"),
    known("7766667755761", "ICIC0000001", "FAILURE", "NRE_ACCOUNT"),
];
