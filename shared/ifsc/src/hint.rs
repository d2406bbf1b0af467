//! Hints for codes that are not listed: what was probably typed in place of what. A hint never changes a code.

use std::collections::BTreeSet;

use crate::directory::{DIRECTORY, lookup, successor};

const LENGTH: usize = 11;
/// Most characters of a text that is examined: more are no code with a slip of the hand.
const MAX_LENGTH: usize = 24;
/// Characters that people write between the groups of a code.
const SEPARATORS: [char; 6] = [' ', '-', '_', '.', '/', '\u{a0}'];

/// Explains what is wrong with a text that does not have the form of an IFSC, if one change makes it one.
pub fn explain(text: &str) -> Option<String> {
    let typed = text.trim();
    if typed.chars().count() > MAX_LENGTH {
        return None;
    }
    let code: String = typed
        .chars()
        .filter(|character| !SEPARATORS.contains(character))
        .map(|character| character.to_ascii_uppercase())
        .collect();
    if !code.is_ascii() {
        return None;
    }
    if code.len() != LENGTH {
        return of_another_length(&code);
    }
    let mut faults = Vec::new();
    if code.len() != typed.len() {
        faults.push("the code must be written without spaces and marks".to_owned());
    }
    let mut corrected = code.into_bytes();
    for (at, character) in corrected.iter_mut().enumerate().take(5) {
        let (typed, meant) = match (at, *character) {
            (0..4, b'0') => ("digit 0", b'O'),
            (0..4, b'1') => ("digit 1", b'I'),
            (4, b'O') => ("letter O", b'0'),
            _ => continue,
        };
        let kind = if at == 4 { "digit" } else { "letter" };
        let (place, meant_text) = (PLACES[at], char::from(meant));
        faults.push(format!(
            "the {place} character is the {typed}; it must be the {kind} {meant_text}"
        ));
        *character = meant;
    }
    let corrected = String::from_utf8(corrected).ok()?;
    if faults.is_empty() || !has_form(&corrected) {
        return None;
    }
    // Written with a small letter, l resembles 1 as well.
    let similar = if is_listed(&corrected) {
        Some(corrected.clone())
    } else {
        only_listed(readings(&corrected, typed.contains('l')))
    };
    faults.extend(match similar {
        Some(listed) => Some(format!("{listed} is a listed IFSC")),
        None => successor_of(&corrected),
    });
    Some(faults.join("; "))
}

const PLACES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// Returns what to check about a code of the right form that is not listed; `None` for a listed code, and if nothing is known.
pub fn hint(ifsc: &str) -> Option<String> {
    if is_listed(ifsc) {
        return None;
    }
    match only_listed(readings(ifsc, false)) {
        Some(listed) => Some(format!(
            "the IFSC is not listed, but {listed} is: check the letters O and I, and the digits 0 and 1"
        )),
        None => successor_of(ifsc),
    }
}

fn successor_of(ifsc: &str) -> Option<String> {
    let successor = successor(ifsc)?;
    let bank = lookup(ifsc).bank?;
    let now = match successor.letters {
        Some(letters) => format!(", whose IFSCs begin with {letters}"),
        None => String::new(),
    };
    Some(format!(
        "{bank} is part of {} since {}{now}: ask the payee for the new IFSC",
        successor.bank, successor.since
    ))
}

/// A zero too few or too many, if one listed code results.
fn of_another_length(code: &str) -> Option<String> {
    let (candidates, fault): (Vec<String>, _) = match code.len() {
        10 => {
            let at = 4..=code.len();
            let with_zero = at.map(|at| format!("{}0{}", &code[..at], &code[at..]));
            (with_zero.collect(), "a zero is missing")
        }
        12 => {
            let zeros = code.char_indices().filter(|(_, one)| *one == '0');
            let without = zeros.map(|(at, _)| format!("{}{}", &code[..at], &code[at + 1..]));
            (without.collect(), "a zero is too many")
        }
        _ => return None,
    };
    let listed = only_listed(candidates.into_iter())?;
    let length = code.len();
    Some(format!(
        "the code has {length} characters; perhaps {fault}: {listed} is a listed IFSC"
    ))
}

/// Returns every other reading of the last six characters, in which O and 0 look alike, and I and 1.
fn readings(code: &str, small_l: bool) -> impl Iterator<Item = String> {
    let alike: Vec<(usize, char)> = code
        .char_indices()
        .skip(5)
        .filter_map(|(at, character)| {
            Some(match character {
                '0' => (at, 'O'),
                'O' => (at, '0'),
                '1' => (at, 'I'),
                'I' => (at, '1'),
                'L' if small_l => (at, '1'),
                _ => return None,
            })
        })
        .collect();
    let code = code.to_owned();
    (1_u32..1 << alike.len()).map(move |chosen| {
        let mut reading = code.clone();
        for (bit, (at, other)) in alike.iter().enumerate() {
            if chosen >> bit & 1 == 1 {
                reading.replace_range(*at..=*at, other.encode_utf8(&mut [0; 4]));
            }
        }
        reading
    })
}

/// Returns the listed code among these, if there is exactly one.
fn only_listed(codes: impl Iterator<Item = String>) -> Option<String> {
    let listed: BTreeSet<String> = codes.filter(|code| is_listed(code)).collect();
    let [code] = Vec::from_iter(listed).try_into().ok()?;
    Some(code)
}

fn is_listed(code: &str) -> bool {
    has_form(code) && DIRECTORY.listed(code.as_bytes()).is_some()
}

fn has_form(code: &str) -> bool {
    let code = code.as_bytes();
    code.len() == LENGTH
        && code[..4].iter().all(u8::is_ascii_uppercase)
        && code[4] == b'0'
        && code[5..]
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
