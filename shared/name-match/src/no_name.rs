//! Text in the place of a name: placeholders, titles alone, types of accounts, hidden names, addresses.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::letters::{Piece, pieces};
use super::text::repaired;

/// Minimum number of visible letters of a word whose rest is hidden.
const MIN_VISIBLE: usize = 3;

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
    let hides = |piece: &Piece| matches!(piece, Piece::Word(word) if word.masked && word.text.len() < MIN_VISIBLE);
    pieces.iter().any(hides) || has_only(pieces, |_| false)
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
