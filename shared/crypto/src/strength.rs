//! Finds weak keys: typed, counted or repeated. Random keys never count as weak.

use rand::Rng;
use zeroize::Zeroizing;

/// Length of every key.
pub(super) const KEY_LENGTH: usize = 32;

/// Random keys have about 30 different bytes; fewer than 16 once in 10²⁰ keys.
const FEWEST_VALUES: usize = 16;
const LONGEST_PERIOD: usize = 16;

/// A key in a box, so that a list that grows moves no key and leaves no copy in memory.
pub(super) type Key = Box<Zeroizing<[u8; KEY_LENGTH]>>;

/// The flaw of a key that no keyring may hold.
pub(super) const ONE_BYTE: &str = "is one byte repeated";

/// Returns why a key is easier to guess than a random one; `None` if it is not.
pub(super) fn flaw(key: &[u8; KEY_LENGTH]) -> Option<&'static str> {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    let values = seen.iter().filter(|seen| **seen).count();
    if values == 1 {
        Some(ONE_BYTE)
    } else if key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        Some("is typed text")
    } else if has_pattern(key) {
        Some("counts or repeats itself")
    } else if values < FEWEST_VALUES {
        Some("has fewer than 16 different bytes")
    } else {
        None
    }
}

/// Whether the differences between neighbouring bytes repeat: equal differences mean counting, and a repeated block repeats
/// its differences.
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

/// Generates a random key.
#[allow(
    clippy::unnecessary_box_returns,
    reason = "a move would leave a copy in memory"
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

    const TEXT: &str = "is typed text";
    const PATTERN: &str = "counts or repeats itself";
    const FEW_VALUES: &str = "has fewer than 16 different bytes";

    fn key(byte: impl FnMut(usize) -> u8) -> [u8; KEY_LENGTH] {
        std::array::from_fn(byte)
    }

    #[test]
    fn typed_counted_and_repeated_keys_are_weak() {
        #[allow(clippy::cast_possible_truncation)]
        let number = |n: usize| n as u8;
        // One strong key for every run: the first bytes of a random one are now and then printable.
        let strong = key(|n| number(n * n * n * 29 + 200));
        assert_eq!(flaw(&strong), None);
        for (weak, flaw_is) in [
            (key(|_| 0xa7), ONE_BYTE),
            (*b"correct horse battery staple 123", TEXT),
            (*b"8f14e45fceea167a5a36dedd4bea2543", TEXT),
            (key(number), PATTERN),
            (key(|n| 255 - number(n)), PATTERN),
            (key(|n| number(n).wrapping_mul(37)), PATTERN),
            (key(|n| strong[n % 16]), PATTERN),
            (key(|n| strong[n % 5]), PATTERN),
            // Two blocks of 16 bytes, the second one counted up by one.
            (
                key(|n| strong[n % 16].wrapping_add(number(n / 16))),
                PATTERN,
            ),
            (key(|n| number(n * n * n % 11) + 200), PATTERN),
            (key(|n| [1, 200][usize::from(strong[n] > 127)]), FEW_VALUES),
        ] {
            assert_eq!(flaw(&weak), Some(flaw_is), "{weak:?}");
        }
    }

    #[test]
    fn fifteen_values_are_too_few_and_sixteen_are_enough() {
        for (values, enough) in [(15, false), (16, true)] {
            // Each value about twice, in an order without a pattern.
            let mut key = key(|n| u8::try_from(n % values).unwrap() * 16);
            for place in 0..KEY_LENGTH {
                key.swap(place, place * place * 7 % KEY_LENGTH);
            }
            assert_eq!(flaw(&key).is_none(), enough, "{key:?}");
        }
    }

    #[test]
    fn generated_keys_are_strong() {
        for _ in 0..1_000 {
            assert_eq!(flaw(&fresh_key()), None);
        }
    }

    proptest! {
        #[test]
        fn random_keys_are_strong(key in any::<[u8; KEY_LENGTH]>()) {
            // proptest draws every byte from the whole range.
            prop_assert_eq!(flaw(&key), None);
        }
    }
}
