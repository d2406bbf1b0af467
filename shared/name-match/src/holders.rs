//! Parses a name into the holders of the account: one person, several, or a firm and its proprietor.

use super::firm;
use super::holder::{Form, Holder, Kind, Relation, Word};
use super::letters::Piece;
use super::parts::{self, Found, find, slashed, text};
use super::script::{Letters, Script};
use super::sound;
use super::text::MAX_WORDS;
use super::titles::{classify, share_family_name};
use super::vocabulary;

/// Returns all holders in a name. With `as_firm`, "Larsen & Toubro" is one name.
pub(super) fn holders(pieces: &[Piece], as_firm: bool) -> Vec<Holder> {
    let mut holders = Vec::with_capacity(2);
    let mut start = 0;
    for place in 0..=pieces.len() {
        let ends = place == pieces.len() || parts::is_owner_mark(pieces, place);
        if ends {
            let first = holders.len();
            read(&pieces[start..place], as_firm, &mut holders);
            if place < pieces.len() {
                let owned = holders[first..].iter_mut();
                owned.for_each(|holder| holder.forms.push(Form::Proprietorship));
            }
            start = place + 1;
        }
    }
    shorten(&mut holders);
    share_family_name(&mut holders);
    holders.iter_mut().for_each(classify);
    holders
}

/// Leaves out the words after the first [`MAX_WORDS`], and holders without words.
fn shorten(holders: &mut Vec<Holder>) {
    let mut left = MAX_WORDS;
    for holder in holders.iter_mut() {
        let mut next = Some(holder);
        while let Some(holder) = next {
            holder.words.truncate(left);
            left -= holder.words.len();
            next = holder
                .relative
                .as_mut()
                .map(|(_, relative)| relative.as_mut());
        }
    }
    holders.retain(|holder| !holder.words.is_empty());
}

/// Reads the holders from pieces without a proprietor.
fn read(pieces: &[Piece], as_firm: bool, holders: &mut Vec<Holder>) {
    let of_a_firm = |place| match pieces.get(place) {
        Some(Piece::Word(word)) => {
            vocabulary::is_of_a_firm(&word.text)
                || (word.script.is_indic() && firm::in_indian_letters(&word.text).is_some())
                || slashed(pieces, place) == Some(("m", "s"))
        }
        _ => false,
    };
    // A firm after "C/O" is not the holder.
    let shown = (0..pieces.len())
        .take_while(|place| !parts::is_relation(pieces, *place))
        .any(|place| of_a_firm(place) || (as_firm && parts::is_and(pieces, place)));
    let firm = as_firm || shown;
    let new = || Holder {
        firm,
        shown,
        ..Holder::default()
    };
    let mut holder = new();
    // The relative whose name is read; the text after a second mark is left out.
    let mut relative: Option<Holder> = None;
    let mut place = 0;
    while place < pieces.len() {
        match find(pieces, place, &holder) {
            Found::Firm => place += 3,
            Found::Nothing(length) => place += length,
            Found::Huf(length) => {
                holder.forms.push(Form::HinduUndividedFamily);
                place += length;
            }
            Found::Deceased(length) => {
                holder.deceased |= relative.is_none();
                place += length;
            }
            // "Sunil Sharma, guardian of Riya Sharma": the account is Riya's.
            Found::Ward(length) => {
                let mut guardian = std::mem::replace(&mut holder, new());
                guardian
                    .words
                    .append(&mut relative.take().unwrap_or_default().words);
                classify(&mut guardian);
                holder.relative = Some((Relation::Guardian, Box::new(guardian)));
                place += length;
            }
            Found::Relation(length, relation, female) => {
                finish_relative(&mut holder, relative.take());
                if holder.relative.is_none() {
                    holder.female = holder.female.or(female);
                    holder.relative = Some((relation, Box::default()));
                }
                relative = Some(Holder::default());
                place += length;
            }
            found @ (Found::Alias | Found::Another(_)) => {
                if !firm {
                    finish_relative(&mut holder, relative.take());
                    holders.push(std::mem::replace(&mut holder, new()));
                }
                place += if let Found::Another(length) = found {
                    length
                } else {
                    1
                };
            }
            Found::Name => {
                if let Some(Piece::Word(letters)) = pieces.get(place) {
                    let next = text(pieces, place + 1).or(text(pieces, place + 2));
                    take_word(letters, next, relative.as_mut().unwrap_or(&mut holder));
                }
                place += 1;
            }
        }
    }
    finish_relative(&mut holder, relative);
    holders.push(holder);
}

/// Adds the name of the first relative to the holder.
fn finish_relative(holder: &mut Holder, relative: Option<Holder>) {
    if let (Some(mut read), Some((_, relative))) = (relative, holder.relative.as_mut())
        && relative.words.is_empty()
    {
        classify(&mut read);
        **relative = read;
    }
}

fn take_word(letters: &Letters, next: Option<&str>, holder: &mut Holder) {
    let (text, script) = (letters.text.as_str(), letters.script);
    // মোঃ is Md, डॉ. is Dr.
    let text = match text {
        "mo" if script.is_indic() => "mohammed",
        "do" | "da" if script.is_indic() && holder.words.is_empty() => "dr",
        text => text,
    };
    // Kumar and Prasad; first they are initials.
    let shortened = matches!(text, "kr" | "pd") && !holder.words.is_empty();
    let is_title = holder.words.is_empty() && vocabulary::is_leading_title(text);
    let are_initials = !is_title && vocabulary::are_initials(text);
    if letters.masked {
        holder.words.push(Word {
            kind: Kind::Own,
            masked: true,
            ..word(text, script)
        });
    } else if holder.firm {
        take_word_of_firm(text, script, next, holder);
    } else if let Some(initial) = initial_by_place(letters, next, holder) {
        holder.words.push(word(initial, script));
    } else if !shortened && script != Script::Arabic && are_initials {
        for place in 0..text.len() {
            holder.words.push(word(&text[place..=place], script));
        }
    } else {
        holder.words.push(word(text, script));
    }
}

/// Returns the initial that a word in an Indian script spells before the name, or after it.
fn initial_by_place<'a>(
    letters: &'a Letters,
    next: Option<&str>,
    holder: &Holder,
) -> Option<&'a str> {
    let named = holder.full_words() > 0;
    let first = !named && next.is_some();
    // Ji and Bi after a name are polite forms, डॉ. before it is Dr.
    let polite = matches!(letters.text.as_str(), "ji" | "bi");
    let last = named && next.is_none() && !polite;
    let possible = (first || last) && letters.text != "do";
    possible.then(|| parts::spelled_initial(&letters.text, letters.script))?
}

fn take_word_of_firm(text: &str, script: Script, next: Option<&str>, holder: &mut Holder) {
    let text = if matches!(
        text,
        "pvtltd" | "pvtlimited" | "privateltd" | "privatelimited" | "pltd"
    ) {
        holder.words.push(word("private", script));
        "limited"
    } else {
        text
    };
    let spelled = if script.is_indic() {
        firm::in_indian_letters(text)
    } else {
        None
    };
    let last = holder.words.last().map(|word| word.text.as_str());
    let numbered = last.is_some_and(firm::is_numbered);
    let full = match text {
        "p" if next.is_some_and(|next| firm::canonical(next) == "limited") => "private",
        // "Dyers N Drycleaners", "Unit No 2".
        "n" if last.is_some() && next.is_some_and(|next| next.len() > 1) => return,
        "no" | "nos" if numbered => return,
        "regd" | "registered" => return,
        text if numbered => firm::number(text).unwrap_or_else(|| firm::canonical(text)),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            firm::number(text).unwrap_or(text)
        }
        text => spelled.unwrap_or_else(|| firm::canonical(text)),
    };
    // The bank has cut the word.
    let may_be_cut = |whole: &&str| {
        let after_private = *whole == "limited" && last == Some("private");
        last.is_some() && (full.len() >= 3 || after_private) && whole.starts_with(full)
    };
    let cut = ["private", "limited"].into_iter().find(may_be_cut);
    let full = cut.filter(|_| next.is_none()).unwrap_or(full);
    holder.words.push(word(full, script));
}

fn word(text: &str, script: Script) -> Word {
    let key = sound::key(text);
    let kind = vocabulary::kind(text, &key);
    Word {
        text: text.to_owned(),
        key,
        kind,
        script,
        masked: false,
    }
}
