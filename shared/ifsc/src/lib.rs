//! The directory of IFSCs: the bank and the branch of a code. The directory is part of the program, so a lookup needs no network
//! and no start-up work. `shared/ifsc/data/README.md` names its source and says how to update it.

mod table;

use table::Table;

static DIRECTORY: Table<'static> = match Table::open(include_bytes!("../data/ifsc.bin")) {
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

/// A listed branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// As published, mostly in capitals.
    pub name: &'static str,
    /// As published: a town, sometimes its district.
    pub city: Option<&'static str>,
}

/// Looks up a code, within a few hundred nanoseconds and without allocation.
pub fn lookup(ifsc: &str) -> Entry {
    let code = ifsc.as_bytes();
    match DIRECTORY.listed(code) {
        Some(listed) => Entry {
            bank: listed.bank,
            branch: Some(Branch {
                name: listed.name,
                city: listed.city,
            }),
        },
        None => Entry {
            bank: DIRECTORY.bank_of_unlisted(code),
            branch: None,
        },
    }
}

#[cfg(test)]
mod tests;
