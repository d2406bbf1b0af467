//! Repairs the text of a name before it is read: UTF-8 that was read as Latin-1, and addresses beside the name.

use std::borrow::Cow;

/// Maximum number of characters of a name; the rest is not read, so that a comparison takes bounded time.
pub(super) const MAX_CHARACTERS: usize = 200;
/// Maximum number of words of a name, those of all holders and relatives together; the rest is not compared. Each word is compared
/// with each word of the other name, alone and joined with its neighbours. 120 characters, the longest name that a merchant
/// may give, hold 40 words of two letters.
pub(super) const MAX_WORDS: usize = 40;

/// Returns the name without mail and UPI addresses, with letters restored that a system has read in the wrong encoding.
pub(super) fn repaired(name: &str) -> Cow<'_, str> {
    let end = name.char_indices().nth(MAX_CHARACTERS);
    let name = end.map_or(name, |(end, _)| &name[..end]);
    let name = utf8_read_as_latin1(name).map_or(Cow::Borrowed(name), Cow::Owned);
    if !name.contains('@') {
        return name;
    }
    let words = name.split_whitespace().filter(|word| !is_address(word));
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

/// Whether a word is a mail or UPI address: `asha@okhdfcbank`.
fn is_address(word: &str) -> bool {
    word.split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
}

/// Returns the text whose UTF-8 bytes were read as Latin-1 or Windows-1252 (`RenÃ©e`); `None` if they were not: text in these
/// encodings is hardly ever valid UTF-8 by chance.
fn utf8_read_as_latin1(name: &str) -> Option<String> {
    // The first byte of a sequence.
    let is_first = |character: char| ('\u{c2}'..='\u{f4}').contains(&character);
    name.contains(is_first).then_some(())?;
    let bytes: Option<Vec<u8>> = name.chars().map(latin1_byte).collect();
    String::from_utf8(bytes?).ok()
}

/// Returns the byte of a character of Latin-1 or Windows-1252.
fn latin1_byte(character: char) -> Option<u8> {
    // The characters of Windows-1252 between 0x80 and 0x9f; five places are empty.
    const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    let code = u32::from(character);
    if let Ok(byte) = u8::try_from(code) {
        return Some(byte);
    }
    let place = WINDOWS.chars().position(|windows| windows == character)?;
    u8::try_from(0x80 + place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_read_as_latin1_is_restored() {
        let read_as_latin1 = |text: &str| text.bytes().map(char::from).collect::<String>();
        for name in ["Renée", "आशा राव", "ரமேஷ்", "Ｒａｊａｎ"] {
            assert_eq!(repaired(&read_as_latin1(name)), name);
        }
        assert_eq!(repaired("RenÃ©e Dâ€™Souza"), "Renée D’Souza");
        for name in ["José Ávila", "Françoise", "Zoë", "Ã", "आशा"] {
            assert_eq!(repaired(name), name);
        }
    }

    #[test]
    fn addresses_are_left_out() {
        for (name, left) in [
            ("asha@okhdfcbank", ""),
            ("ASHA RAO asha.rao@example.com", "ASHA RAO"),
            ("Ramesh @ Raju", "Ramesh @ Raju"),
        ] {
            assert_eq!(repaired(name), left);
        }
    }
}
