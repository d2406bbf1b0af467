//! Urdu and Arabic names: their consonants and long vowels against a Latin spelling, because short vowels are not written.

use super::sound;

/// Whether a mark is not compared: hamza, tatweel, short vowels.
pub(super) fn is_mark(character: char) -> bool {
    matches!(character, 'ء' | 'ـ' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

/// Returns the letter of a character: a consonant in the letter of its sound, or a long vowel; `None` for other characters.
pub(super) fn letter(character: char) -> Option<char> {
    Some(match character {
        'ا' | 'آ' | 'أ' | 'إ' | 'ٱ' | 'ع' => 'a',
        'ب' => 'b',
        'پ' => 'p',
        'ت' | 'ط' | 'ٹ' => 't',
        'ث' | 'س' | 'ص' | 'ش' => 's',
        'ج' => 'j',
        'چ' => 'c',
        'ح' | 'ه' | 'ہ' | 'ھ' | 'ۃ' | 'ة' | 'ۂ' => 'h',
        'خ' | 'ق' | 'ک' | 'ك' => 'k',
        'د' | 'ڈ' => 'd',
        'ذ' | 'ز' | 'ض' | 'ظ' | 'ژ' => 'z',
        'ر' | 'ڑ' => 'r',
        'غ' | 'گ' => 'g',
        'ف' => 'f',
        'ل' => 'l',
        'م' => 'm',
        'ن' | 'ں' => 'n',
        'و' | 'ؤ' => 'w',
        'ی' | 'ي' | 'ى' | 'ے' | 'ئ' | 'ۓ' => 'y',
        _ => return None,
    })
}

/// Returns the Latin spelling of frequent words, and of the first part of a name that is written together: عبدالرحمن.
pub(super) fn known(word: &str) -> Option<(&'static str, &str)> {
    const KNOWN: [(&str, &str); 10] = [
        ("mhmd", "mohammed"),
        ("syk", "shaikh"),
        ("syd", "syed"),
        ("kan", "khan"),
        ("ahmd", "ahmed"),
        ("ybn", "bin"),
        ("aby", "abi"),
        ("jnab", "janab"),
        ("mhtrmh", "mohtarma"),
        ("mhtrm", "janab"),
    ];
    if let Some((_, latin)) = KNOWN.iter().find(|(letters, _)| *letters == word) {
        return Some((latin, ""));
    }
    let rest = word.strip_prefix("abdal")?;
    Some(("abdul", rest))
}

/// Whether the letters of an Urdu word have the sound of a Latin word.
pub(super) fn sounds_like(letters: &str, latin: &str) -> bool {
    let key = sound::by_rule(latin);
    let key = key.as_bytes();
    // One bit for each place of the key.
    if key.is_empty() || key.len() >= 64 {
        return false;
    }
    let vowel = |place: usize| {
        key.get(place)
            .is_some_and(|letter| b"aeiou".contains(letter))
    };
    // A vowel at the start is written.
    if letters.starts_with('a') != vowel(0) {
        return false;
    }
    let places = |set: u64| (0..=key.len()).filter(move |place| set >> place & 1 == 1);
    // Short vowels are not written.
    let skip_vowels = |set: u64| {
        (0..key.len()).fold(set, |set, place| {
            let skips = set >> place & 1 == 1 && vowel(place);
            set | u64::from(skips) << (place + 1)
        })
    };
    let mut reached = 1_u64;
    for (place, letter) in letters.bytes().enumerate() {
        if place > 0 {
            reached = skip_vowels(reached);
        }
        let sounds: &[u8] = match letter {
            b'a' => b"aeiou",
            b'w' => b"vou",
            b'y' if place + 1 == letters.len() => b"ieya",
            b'y' => b"iey",
            b'z' => b"js",
            _ => &[letter],
        };
        let fits = |place: &usize| {
            key.get(*place)
                .is_some_and(|letter| sounds.contains(letter))
        };
        let next = places(reached)
            .filter(fits)
            .fold(0, |set, place| set | 1 << (place + 1));
        // The key has no a within a word, and a last h is the vowel a.
        // Rehana has no vowel before h in the key.
        let before_h = letter == b'y' && letters.as_bytes().get(place + 1) == Some(&b'h');
        let last = place + 1 == letters.len();
        let silent =
            place > 0 && (letter == b'a' || before_h || (last && matches!(letter, b'h' | b'y')));
        reached = if silent { next | reached } else { next };
    }
    skip_vowels(reached) >> key.len() & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(word: &str) -> String {
        word.chars().filter_map(letter).collect()
    }

    #[test]
    fn urdu_names_sound_like_their_latin_spellings() {
        for (urdu, latin) in [
            ("رفیق", "rafique"),
            ("نسرین", "nasreen"),
            ("انصاری", "ansari"),
            ("طارق", "tariq"),
            ("محمود", "mahmood"),
            ("زبیدہ", "zubaida"),
            ("خاتون", "khatoon"),
            ("امتیاز", "imtiyaz"),
            ("حسین", "hussain"),
            ("اقبال", "iqbal"),
            ("شاہدہ", "shahida"),
        ] {
            assert!(sounds_like(&letters(urdu), latin), "{urdu} {latin}");
        }
    }

    #[test]
    fn other_names_do_not_sound_like_urdu_ones() {
        for (urdu, latin) in [
            ("رفیق", "shafiq"),
            ("رحمن", "rahim"),
            ("نسرین", "yasmeen"),
            ("امتیاز", "iftikhar"),
            ("محمود", "mohammed"),
            ("اقبال", "bilal"),
            ("سلیم", "aslam"),
        ] {
            assert!(!sounds_like(&letters(urdu), latin), "{urdu} {latin}");
        }
    }
}
