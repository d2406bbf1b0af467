//! Text in the place of a name: placeholders, titles alone, types of accounts, hidden names, addresses.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::letters::{Piece, pieces};
use super::text::repaired;

/// Minimum number of visible letters of a word whose rest is hidden.
const MIN_VISIBLE: usize = 4;

/// Words that say nothing about a holder, alone or together.
const WORDS: &str = "\
    na nan nil none null undefined unknown unnamed blank empty verified notverified unverified verify valid validated \
    invalid success successful successfully failed failure fail error active inactive not available unavailable \
    notavailable applicable notapplicable found notfound provided notprovided missing nonamefound noname name names \
    namenotavailable namenotfound customer customers customername cust dear valued dearcustomer valuedcustomer bank \
    bankcustomer upi upiuser upicustomer imps impscustomer neft rtgs user username account accounts acc acct ac accountholder \
    accountholdername accountname accountverified accountvalid validaccount acholder acholdername holder holders \
    beneficiary beneficiaries beneficiaryname bene benename benef payee payeename payer remitter sender receiver \
    recipient default anonymous \
    unregistered registered nonregistered confidential masked hidden savings saving sb current od overdraft cc loan \
    salary deposit recurring fixed rd nre nro ppf nri wallet prepaid bsbda pmjdy basic number no nos is the of for \
    with your record records details detail response ok okay yes true false complete completed pending match matched \
    exists exist existing transaction txn payment transfer fund funds xx nn mr mrs ms miss mx messrs smt shri sri \
    shrimati km dr prof mstr mast esq sir madam";

static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| WORDS.split(' ').collect());

/// Whether a gateway, a bank or a form sent something else than a name: `NA`, `VERIFIED`, `ACCOUNT HOLDER`, `SMT`, `SAVINGS A/C`,
/// `XXXX`, `A*** R**`, a UPI address, digits only, nothing.
pub fn is_placeholder(name: &str) -> bool {
    let pieces = pieces(&repaired(name));
    is_no_name(&pieces)
}

/// Whether the words say nothing about a holder, or hide nearly all letters.
pub(super) fn is_no_name(pieces: &[Piece]) -> bool {
    let hides = |piece: &Piece| matches!(piece, Piece::Word(word) if word.masked && word.text.chars().count() < MIN_VISIBLE);
    pieces.iter().any(hides) || has_only(pieces, |_| false)
}

/// Leaves out the type of the account after the name: "SAI TRADERS CURRENT A/C".
pub(super) fn leave_out_account_type(pieces: &mut Vec<Piece>) {
    const TYPES: [&str; 26] = [
        "account",
        "acct",
        "acc",
        "ac",
        "savings",
        "saving",
        "current",
        "salary",
        "escrow",
        "nodal",
        "nre",
        "nro",
        "od",
        "occ",
        "overdraft",
        "cc",
        "ca",
        "sb",
        "loan",
        "deposit",
        "wallet",
        "ppf",
        "bank",
        "ho",
        "bo",
        "collection",
    ];
    /// Types that are also initials or part of a name, and count only before another one.
    const SHORT: [&str; 11] = [
        "cc",
        "ca",
        "sb",
        "od",
        "occ",
        "bank",
        "ho",
        "bo",
        "collection",
        "deposit",
        "loan",
    ];
    let word = |piece: &Piece| match piece {
        Piece::Word(word) => Some(word.text.clone()),
        Piece::Mark(_) => None,
    };
    let (mut end, mut kept) = (pieces.len(), pieces.len());
    while end > 1 {
        // A/C in three pieces.
        let slashed = end > 2
            && word(&pieces[end - 1]).as_deref() == Some("c")
            && word(&pieces[end - 3]).as_deref() == Some("a")
            && matches!(pieces[end - 2], Piece::Mark('/'));
        match word(&pieces[end - 1]) {
            _ if slashed => (end, kept) = (end - 3, end - 3),
            None => end -= 1,
            Some(text) if TYPES.contains(&text.as_str()) => {
                end -= 1;
                if !SHORT.contains(&text.as_str()) || kept < pieces.len() {
                    kept = end;
                }
            }
            Some(_) => break,
        }
    }
    let names = pieces[..kept].iter().filter_map(word).count();
    if names > 1 {
        pieces.truncate(kept);
    }
}

/// Whether the words are those of a test. Such a text is a name only beside another one, which tests compare with it.
pub(super) fn is_test(pieces: &[Piece]) -> bool {
    const TESTS: [&str; 9] = [
        "test",
        "tests",
        "testing",
        "tester",
        "testuser",
        "testaccount",
        "dummy",
        "sample",
        "demo",
    ];
    has_only(pieces, |text| TESTS.contains(&text))
}

/// Whether all words are placeholders, or others that are permitted.
fn has_only(pieces: &[Piece], permitted: fn(&str) -> bool) -> bool {
    // Letters on their own, without spaces and marks: N/A, A/C, M/S.
    let mut letters = String::new();
    for piece in pieces {
        let Piece::Word(word) = piece else {
            continue;
        };
        let text = word.text.as_str();
        let is_known =
            text.bytes().all(|byte| byte.is_ascii_digit()) || SET.contains(text) || permitted(text);
        match text.len() {
            _ if is_known => {}
            1 if letters.len() < 4 => letters.push_str(text),
            _ => return false,
        }
    }
    matches!(letters.len(), 0) || (letters.len() > 1 && SET.contains(letters.as_str()))
}
