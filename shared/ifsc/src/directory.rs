//! Lookups in the table of banks and branches.

use std::str;

use crate::table::{IMPS, NEFT, RTGS, Row, Table, UPI};

pub(crate) static DIRECTORY: Table<'static> = match Table::open(include_bytes!("../data/ifsc.bin"))
{
    Some(table) => table,
    None => panic!("shared/ifsc/data/ifsc.bin has another layout than table.rs reads"),
};

/// Data about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bank of the code, which may differ from the bank of its first four letters: `HDFC0CAACOB` belongs to a co-operative
    /// bank that clears through HDFC Bank. `None` if unknown.
    pub bank: Option<&'static str>,
    /// `None` if the code is not listed. Such a code can be valid, because the list lags behind the banks.
    pub branch: Option<Branch>,
}

/// A listed branch. Each method reads one value from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch(&'static Row);

impl Branch {
    fn text<const AT: usize>(self) -> Option<&'static str> {
        let place = self.0.get(AT..AT + 3)?;
        DIRECTORY.text(*place.first_chunk()?)
    }

    fn has(self, service: u8) -> bool {
        self.0[19] & service != 0
    }

    /// As published, mostly in capitals.
    pub fn name(self) -> &'static str {
        self.text::<3>().unwrap_or_default()
    }

    /// As published: a town, sometimes its district.
    pub fn city(self) -> Option<&'static str> {
        self.text::<6>()
    }

    pub fn district(self) -> Option<&'static str> {
        self.text::<9>()
    }

    pub fn state(self) -> Option<&'static str> {
        self.text::<12>()
    }

    /// The nine digits on the branch's cheques.
    pub fn micr(self) -> Option<String> {
        let micr = u32::from_le_bytes(*self.0[15..].first_chunk()?);
        (micr > 0).then(|| format!("{micr:09}"))
    }

    /// Whether the branch is reached by IMPS. The list reports IMPS for every branch that NPCI has not taken out.
    pub fn imps(self) -> bool {
        self.has(IMPS)
    }

    /// Whether the branch is in the Reserve Bank's list for NEFT.
    pub fn neft(self) -> bool {
        self.has(NEFT)
    }

    /// Whether the branch is in the Reserve Bank's list for RTGS.
    pub fn rtgs(self) -> bool {
        self.has(RTGS)
    }

    /// Whether the bank was a member of UPI when the list of members was last read.
    pub fn upi(self) -> bool {
        self.has(UPI)
    }
}

/// The bank that another bank became part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    pub bank: &'static str,
    /// First four letters of its IFSCs; `None` if it has none of its own.
    pub letters: Option<&'static str>,
    /// `2017-04-01`.
    pub since: &'static str,
}

/// Looks up a code, within a few hundred nanoseconds and without allocation.
pub fn lookup(ifsc: &str) -> Entry {
    let code = ifsc.as_bytes();
    let branch = DIRECTORY.listed(code).map(Branch);
    Entry {
        bank: match branch {
            Some(branch) => branch.text::<0>(),
            None => DIRECTORY.bank_of_unlisted(code),
        },
        branch,
    }
}

/// Returns the bank that the bank of this code became part of, if public lists name it.
pub fn successor(ifsc: &str) -> Option<Successor> {
    let [bank, letters, since] = DIRECTORY.merger(ifsc.as_bytes())?;
    Some(Successor {
        bank: bank?,
        letters,
        since: since?,
    })
}

/// Whether a payment by IMPS to this code can arrive, as far as is known: `false` only if the list says that the branch takes
/// none, or that none of its bank does.
pub fn takes_imps(ifsc: &str) -> bool {
    let code = ifsc.as_bytes();
    if let Some(row) = DIRECTORY.listed(code) {
        return Branch(row).imps();
    }
    let services = DIRECTORY.services_of_unlisted(code);
    services.is_none_or(|services| services & IMPS != 0)
}

/// Returns the day of the list of IFSCs, `2026-06-30`.
pub fn list_date() -> &'static str {
    str::from_utf8(&DIRECTORY.list_date).unwrap_or_default()
}

/// Returns a text that differs for every edition of the list.
pub fn edition() -> String {
    format!("{:016x}", DIRECTORY.checksum)
}
