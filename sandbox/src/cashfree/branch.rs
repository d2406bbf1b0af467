//! Where an account is held. Only the bank is told by the IFSC; the branch is a stand-in, the same
//! for all, since no published test datum depends on it.

use std::borrow::Cow;

use crate::cashfree::wire::{IfscDetails, Rails};

/// City of every branch.
pub(super) const CITY: &str = "MUMBAI";
/// Name of every branch.
pub(super) const BRANCH: &str = "SANTACRUZ, MUMBAI";
/// MICR of every branch; a number on the wire, as Cashfree has it.
pub(super) const MICR: u32 = 400_532_038;

/// The account behind every valid VPA.
pub(super) const UPI_ACCOUNT: &str = "1234567890";
/// The branch behind every valid VPA.
pub(super) const UPI_IFSC: &str = "ICIC0006567";

const BANKS: [(&str, &str); 11] = [
    ("BARB", "BANK OF BARODA"),
    ("CNRB", "CANARA BANK"),
    ("HDFC", "HDFC BANK"),
    ("ICIC", "ICICI BANK"),
    ("KKBK", "KOTAK MAHINDRA BANK"),
    ("PUNB", "PUNJAB NATIONAL BANK"),
    ("RATN", "RBL BANK"),
    ("SBIN", "STATE BANK OF INDIA"),
    ("SCBL", "STANDARD CHARTERED BANK"),
    ("UTIB", "AXIS BANK"),
    ("YESB", "YES BANK"),
];

/// The bank's name by the first four letters; a bank that is not listed is named by them.
pub(super) fn bank_name(ifsc: &str) -> Cow<'static, str> {
    let code = ifsc.get(..4).unwrap_or(ifsc);
    BANKS.iter().find(|(known, _)| *known == code).map_or_else(
        || Cow::Owned(format!("{code} BANK")),
        |(_, name)| Cow::Borrowed(*name),
    )
}

/// `ifsc_details` of a bank account.
pub(super) fn of_account(ifsc: &str) -> IfscDetails {
    IfscDetails {
        ifsc: Some(ifsc.to_owned()),
        ifsc_subcode: ifsc.get(..5).map(str::to_owned),
        rails: None,
        ..stand_in(bank_name(ifsc))
    }
}

/// `ifsc_details` of the account behind a VPA.
pub(super) fn of_vpa() -> IfscDetails {
    stand_in(bank_name(UPI_IFSC))
}

fn stand_in(bank: Cow<'static, str>) -> IfscDetails {
    IfscDetails {
        bank,
        ifsc: None,
        ifsc_subcode: None,
        rails: Some(Rails {
            neft: "Live",
            imps: "Live",
            rtgs: "Live",
            upi: "Live",
        }),
        address: "GROUND FLOOR, S V ROAD, SANTACRUZ WEST, MUMBAI - 400054",
        city: CITY,
        state: "MAHARASHTRA",
        branch: BRANCH,
        category: "DIRECT_MEMBER",
        swift_code: "",
        micr: MICR,
        nbin: 9999,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_is_named_by_its_ifsc() {
        assert_eq!(bank_name("YESB0000262"), "YES BANK");
        assert_eq!(bank_name("AABF0008032"), "AABF BANK");
    }
}
