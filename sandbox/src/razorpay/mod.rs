//! RazorpayX account validation as its public contract has it: the composite call for a bank account
//! or a VPA, its look-up by id, and the payment gateway's look-up of a VPA. One caller is known:
//! [`KEY_ID`], [`KEY_SECRET`], paying from [`SOURCE_ACCOUNT_NUMBER`]. Razorpay publishes no test data:
//! account validation is not available in its test mode.

mod call_back;
mod house;
mod limits;
mod outcome;
mod present;
mod refusal;
mod routes;
mod validation;
mod vpa;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::Memory;
use crate::razorpay::validation::{Saved, Validation};

pub(crate) use crate::razorpay::routes::routes;

/// The user name of HTTP Basic that is accepted.
pub const KEY_ID: &str = "rzp_test_sandbox";

/// The password of HTTP Basic that is accepted.
pub const KEY_SECRET: &str = "sandbox_secret";

/// The account the rupee is taken from; no other is known. Razorpay's samples have this number.
pub const SOURCE_ACCOUNT_NUMBER: &str = "7878780080316316";

/// What call-backs are signed with unless another secret is set.
pub const WEBHOOK_SECRET: &str = "sandbox_webhook_secret";

/// Validations remembered, and idempotency keys; beyond that the oldest are forgotten.
const REMEMBERED: usize = 200_000;

/// Razorpay's memory.
pub(crate) struct Razorpay {
    validations: Memory<Arc<Validation>>,
    by_idempotency_key: Memory<Saved>,
    next: AtomicU64,
}

impl Razorpay {
    pub(crate) fn new() -> Self {
        // Counting from the start's microseconds: after a restart no id comes again that the ledger's
        // file still holds.
        let first = u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or(1);
        Self {
            validations: Memory::new(REMEMBERED),
            by_idempotency_key: Memory::new(REMEMBERED),
            next: AtomicU64::new(first),
        }
    }

    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// A Razorpay id: the kind of thing, an underscore, fourteen letters and digits.
fn id(kind: &str, number: u64) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut left = number;
    let mut text = [b'0'; 14];
    for place in text.iter_mut().rev() {
        // Smaller than 62: it fits.
        *place = LETTERS[usize::try_from(left % 62).unwrap_or(0)];
        left /= 62;
    }
    format!("{kind}_{}", String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form_and_differ() {
        assert_eq!(id("fav", 0), "fav_00000000000000");
        assert_eq!(id("fav", 61), "fav_0000000000000z");
        assert_eq!(id("fav", 62), "fav_00000000000010");
        assert_ne!(id("fav", u64::MAX), id("fav", u64::MAX - 1));
    }
}
