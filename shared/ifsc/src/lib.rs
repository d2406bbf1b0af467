//! The directory of IFSCs: which bank and branch a code names. It is part of the program, so asking it needs no network and
//! no start-up work. `shared/data/README.md` says where it is from and how it is brought up to date.

mod table;

use table::Table;

static DIRECTORY: Table<'static> = match Table::open(include_bytes!("../data/ifsc.bin")) {
    Some(table) => table,
    None => panic!("shared/data/ifsc.bin is not of the layout that ifsc/table.rs reads"),
};

/// What the directory knows of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bank that the code belongs to, which need not be the one of its first four letters: `HDFC0CAACOB` is a
    /// co-operative bank's that clears through HDFC Bank. `None` where it is not known.
    pub bank: Option<&'static str>,
    /// The branch. `None` if the code is not listed, which does not make it wrong: the list lags behind the banks.
    pub branch: Option<Branch>,
}

/// A listed branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// As published, mostly in capitals.
    pub name: &'static str,
    /// As published: a town, now and then its district.
    pub city: Option<&'static str>,
}

/// Looks the code up: a few hundred nanoseconds, no allocation.
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
