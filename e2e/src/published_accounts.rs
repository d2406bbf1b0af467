//! The test data that Cashfree publishes for its sandbox: accounts with known outcomes.

/// A bank account with a published outcome.
#[derive(Clone, Copy, Debug)]
pub struct PublishedAccount {
    pub account_number: &'static str,
    pub ifsc: &'static str,
    /// Final status in Khata.
    pub status: &'static str,
    /// `validation.failure.code`; empty unless the account fails.
    pub failure: &'static str,
}

const fn account(
    account_number: &'static str,
    ifsc: &'static str,
    status: &'static str,
    failure: &'static str,
) -> PublishedAccount {
    PublishedAccount {
        account_number,
        ifsc,
        status,
        failure,
    }
}

/// Cashfree, "Data to test integration", in the order of the gateways contract.
pub const PUBLISHED: [PublishedAccount; 15] = [
    account("026291800001191", "YESB0000262", "ACTIVE", ""),
    account("00011020001772", "HDFC0000001", "ACTIVE", ""),
    account("1233943142", "ICIC0000009", "ACTIVE", ""),
    account("388108022658", "ICIC0000009", "ACTIVE", ""),
    account("000890289871772", "SCBL0036078", "ACTIVE", ""),
    account("000100289877623", "SBIN0008752", "ACTIVE", ""),
    account(
        "026291800001190",
        "YESB0000262",
        "FAILURE",
        "INVALID_ACCOUNT",
    ),
    account("234005000876", "ICIC0000007", "FAILURE", "INVALID_ACCOUNT"),
    account("2640101002729", "CNRR0002640", "FAILURE", "INVALID_IFSC"),
    account("1234567890", "ICIC0000001", "FAILURE", "INVALID_IFSC"),
    account("007711000031", "HDFC0000077", "PENDING", ""),
    account("00224412311300", "YESB0000001", "ACTIVE", ""),
    account("7766666351000", "YESB0000001", "FAILURE", "INVALID_ACCOUNT"),
    account("7766667989884", "RATN0000070", "FAILURE", "ACCOUNT_BLOCKED"),
    account("7766667755761", "ICIC0000001", "FAILURE", "NRE_ACCOUNT"),
];
