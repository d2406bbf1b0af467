//! The BAV codes (Setu, "BAV codes"). The account number that ends in `990088` and a row's number, two
//! digits counted from 0, is answered with that row: `…99008801` with BAV00, `…99008825` with BAVM4.

/// One code of Setu's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BavCode {
    /// As it goes over the wire.
    pub(super) code: &'static str,
    /// What is said with it: the table's own words and spelling, where no published answer has others.
    pub(super) message: &'static str,
}

impl BavCode {
    /// Whether `verification` is "success": the account was credited, or found without being credited.
    pub(super) fn verifies(&self) -> bool {
        matches!(self.code, "BAV00" | "BAVM0")
    }
}

/// The account was credited. The answers say it in other words than the table.
pub(super) const APPROVED: BavCode = row("BAV00", "Account exists and is active.");
/// The account or its IFSC is invalid; the answers' own words too.
pub(super) const INVALID: BavCode = row("BAVM1", "This account does not exist or is invalid.");

const fn row(code: &'static str, message: &'static str) -> BavCode {
    BavCode { code, message }
}

/// The whole table, in its order.
const TABLE: [BavCode; 58] = [
    row("BAV1000", "BAV invalid state"),
    APPROVED,
    row("BAV03", "Invalid scheme type"),
    row("BAV08", "CBS offline"),
    row("BAV12", "Invalid transaction"),
    row("BAV17", "Exceeds account limit"),
    row("BAV19", "Duplicate reference number"),
    row("BAV20", "Invalid response code"),
    row("BAV34", "Suspected fraud"),
    row("BAV52", "Invalid account"),
    row("BAV76", "Card-issuer timed out"),
    row("BAV78", "Transfer limit exceeded"),
    row("BAV84", "Block operation failed.since a/c is closed/frozen"),
    row("BAV91", "Transaction timeout"),
    row(
        "BAV92",
        "Invalid ifsc or no routing for institution/network",
    ),
    row("BAV94", "Duplicate transaction"),
    row("BAVNF", "System malfunction"),
    row("BAVCU", "Host (CBS) offline"),
    row("BAVXF", "Invalid response code"),
    row("BAVFLD", "Failed txn by beneficiary bank"),
    row("BAVIU", "Issuer node offline"),
    row(
        "BAVM0",
        "Verification successful but original credit transaction failed",
    ),
    INVALID,
    row("BAVM2", "Amount limit exceeded"),
    row("BAVM3", "Account blocked/frozen"),
    row("BAVM4", "Nre account"),
    row("BAVM5", "Account closed"),
    row("BAVM6", "Limit exceeded for member bank"),
    row("BAVM7", "Transaction not permitted to account"),
    row("BAVM8", "Txn limit exeeded"),
    row("BAVMI", "Customer tx. limit exceeded"),
    row("BAVMJ", "Invalid beneficiary IFSC or NBIN"),
    row("BAVMN", "Foreign inward remittance not allowed"),
    row("BAVMP", "Benificary bank not enable for P2A"),
    row(
        "BAVMQ",
        "Transaction not allowed as invalid payment reference",
    ),
    row("BAVMS", "Transaction is declined as invalid account number"),
    row("BAVREF", "Funds refunded by remitter bank"),
    row("BAVMT", "Transaction not allowed as general error"),
    row("BAVMW", "Foreign inward remittance for P2P only"),
    row(
        "BAV51",
        "Transaction unsuccessful due to an issue at the beneficiary bank's end.",
    ),
    row("BAVNC", "No connectivity with NPCI"),
    row("BAVNR", "Not registered"),
    row("BAVRET", "Funds returned by beneficiary bank"),
    row("BAVRM1", "Remittor CBS timeout while a/c enquiry"),
    row("BAV1009", "Invalid amount"),
    row("BAVXU", "Cut-off is in process (beneficiary)"),
    row("BAV1001", "Invalid tranaction type"),
    row("BAV1004", "Blank trace number"),
    row("BAV1008", "Invalid bene IFSC"),
    row("BAV1010", "Invalid amount"),
    row("BAV1012", "Invalid response from imps switch"),
    row("BAV1013", "Duplicate trace id"),
    row("BAV1014", "Invalid queryback trace number"),
    row("BAV1015", "No such transaction request enquery"),
    row("BAV1016", "Invalid sender mobile number"),
    row("BAV1017", "Invalid remitter name"),
    row("BAV2000", "Upsteam error"),
    row("BAV2001", "Internal error"),
];

/// The code in this row, counted from 0.
pub(super) fn in_row(row: usize) -> Option<BavCode> {
    TABLE.get(row).copied()
}

/// The code of this name.
pub(super) fn named(code: &str) -> Option<BavCode> {
    TABLE.iter().find(|row| row.code == code).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_row_of_its_own() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!((in_row(place), named(row.code)), (Some(*row), Some(*row)));
            assert!(TABLE[..place].iter().all(|other| other.code != row.code));
            assert!(row.code.starts_with("BAV") && !row.message.is_empty());
        }
        assert_eq!(in_row(TABLE.len()), None);
        assert_eq!(in_row(1), Some(APPROVED));
        assert_eq!(in_row(25).unwrap().code, "BAVM4");
    }

    #[test]
    fn only_two_codes_verify() {
        let verifying: Vec<_> = TABLE
            .iter()
            .filter(|row| row.verifies())
            .map(|row| row.code)
            .collect();
        assert_eq!(verifying, ["BAV00", "BAVM0"]);
    }
}
