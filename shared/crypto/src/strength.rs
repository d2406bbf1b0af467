//! Keys that a person made: typed, counted or copied. Random ones are never taken for such.

use std::fmt;

use rand::Rng;
use zeroize::Zeroizing;

use super::keyring_file::KEY_LENGTH;

/// Random keys have about 30; fewer than 16 once in 10²⁰ keys.
const FEWEST_VALUES: usize = 16;
const LONGEST_PERIOD: usize = 16;

/// A key, boxed, so that a list of keys that grows or shrinks moves none and leaves none behind.
pub(super) type Key = Box<Zeroizing<[u8; KEY_LENGTH]>>;

/// Why a key is easier to guess than a random one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    OneByte,
    Text,
    Pattern,
    FewValues,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneByte => "is one byte repeated",
            Self::Text => "is text that somebody typed",
            Self::Pattern => "counts or repeats itself",
            Self::FewValues => "has fewer than 16 different bytes",
        })
    }
}

/// What is wrong with a key, if anything is.
pub(super) fn flaw(key: &[u8; KEY_LENGTH]) -> Option<Flaw> {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    let values = seen.iter().filter(|seen| **seen).count();
    if values == 1 {
        Some(Flaw::OneByte)
    } else if key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        Some(Flaw::Text)
    } else if has_pattern(key) {
        Some(Flaw::Pattern)
    } else if values < FEWEST_VALUES {
        Some(Flaw::FewValues)
    } else {
        None
    }
}

/// Whether the steps from byte to byte repeat: steps that are all alike count, and what repeats repeats its steps.
fn has_pattern(key: &[u8; KEY_LENGTH]) -> bool {
    let mut steps = Zeroizing::new([0u8; KEY_LENGTH - 1]);
    for (step, pair) in steps.iter_mut().zip(key.windows(2)) {
        *step = pair[1].wrapping_sub(pair[0]);
    }
    (1..=LONGEST_PERIOD).any(|period| {
        steps
            .iter()
            .zip(&steps[period..])
            .all(|(one, next)| one == next)
    })
}

/// A random key.
#[allow(
    clippy::unnecessary_box_returns,
    reason = "moved, it would leave a copy"
)]
pub(super) fn fresh_key() -> Key {
    let mut key = Key::default();
    // Once in 10¹³ keys all bytes are printable.
    while flaw(&key).is_some() {
        rand::rng().fill_bytes(&mut key[..]);
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: impl FnMut(usize) -> u8) -> [u8; KEY_LENGTH] {
        std::array::from_fn(byte)
    }

    #[test]
    fn what_a_person_makes_up_is_weak() {
        let random = fresh_key();
        #[allow(clippy::cast_possible_truncation)]
        let number = |n: usize| n as u8;
        for (weak, flaw_is) in [
            (key(|_| 0xa7), Flaw::OneByte),
            (*b"correct horse battery staple 123", Flaw::Text),
            (*b"8f14e45fceea167a5a36dedd4bea2543", Flaw::Text),
            (key(number), Flaw::Pattern),
            (key(|n| 255 - number(n)), Flaw::Pattern),
            (key(|n| number(n).wrapping_mul(37)), Flaw::Pattern),
            (key(|n| random[n % 16]), Flaw::Pattern),
            (key(|n| random[n % 5]), Flaw::Pattern),
            // A block of 16 that is counted up from one to the next.
            (
                key(|n| random[n % 16].wrapping_add(number(n / 16))),
                Flaw::Pattern,
            ),
            (key(|n| number(n * n * n % 11) + 200), Flaw::Pattern),
            (
                key(|n| [1, 200][usize::from(random[n] > 127)]),
                Flaw::FewValues,
            ),
        ] {
            assert_eq!(flaw(&weak), Some(flaw_is), "{weak:?}");
        }
    }

    #[test]
    fn fifteen_values_are_too_few_and_sixteen_are_enough() {
        for (values, enough) in [(15, false), (16, true)] {
            // Each value twice or so, in an order without a pattern.
            let mut key = key(|n| u8::try_from(n % values).unwrap() * 16);
            for place in 0..KEY_LENGTH {
                key.swap(place, place * place * 7 % KEY_LENGTH);
            }
            assert_eq!(flaw(&key).is_none(), enough, "{key:?}");
        }
    }

    #[test]
    fn what_is_generated_is_strong() {
        for _ in 0..1_000 {
            assert_eq!(flaw(&fresh_key()), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_random_is_strong(key in any::<[u8; KEY_LENGTH]>()) {
            // proptest draws from the whole range, every byte by itself.
            prop_assert_eq!(flaw(&key), None);
        }
    }
}
