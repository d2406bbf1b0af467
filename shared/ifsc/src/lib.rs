//! The directory of Indian banks: the bank and the branch of an IFSC, what is wrong with a code that is not listed, and the
//! handles of UPI addresses. The directory is part of the program, so a lookup needs no network and no start-up work.
//! `shared/ifsc/data/README.md` names its sources and says how to update it.

mod directory;
mod handles;
mod hint;
mod table;

pub use directory::{Branch, Entry, Successor, edition, list_date, lookup, successor, takes_imps};
pub use handles::{HANDLES_DATE, is_known_handle};
pub use hint::{explain, hint};

#[cfg(test)]
mod tests;
