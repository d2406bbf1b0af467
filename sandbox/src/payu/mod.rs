//! PayU as its public contract has it, under `/payu`: the token endpoint, verification of a bank account
//! by penny drop and what became of it (payouts), and the look-up of a VPA (web service). At PayU the
//! three are on different hosts.
//!
//! Payouts know one merchant, [`PAYOUT_MERCHANT_ID`], with two clients that share [`CLIENT_SECRET`]: the
//! tokens of [`CLIENT_ID`] last as long as in the published samples, those of [`SHORT_LIVED_CLIENT_ID`]
//! a second, so that a token can be seen to expire. The web service knows one merchant: [`KEY`] and
//! [`SALT`].

mod bank;
mod house;
mod limits;
mod oauth;
mod published;
mod refusal;
mod routes;
mod service;
mod transfers;
mod vpa;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::memory::Memory;
use crate::payu::bank::Verification;
use crate::tokens::Tokens;

pub(crate) use crate::payu::routes::routes;

/// The `client_id` that is accepted.
pub const CLIENT_ID: &str = "payu_sandbox_client";

/// A `client_id` that is accepted too, whose tokens last a second.
pub const SHORT_LIVED_CLIENT_ID: &str = "payu_sandbox_short_lived_client";

/// The `client_secret` of both.
pub const CLIENT_SECRET: &str = "payu_sandbox_secret";

/// The `payoutMerchantId` that is accepted.
pub const PAYOUT_MERCHANT_ID: &str = "1111126";

/// The merchant's key at the web service.
pub const KEY: &str = "payu_sandbox_key";

/// The merchant's salt at the web service.
pub const SALT: &str = "payu_sandbox_salt";

/// The id of the first transfer; each next one has the next.
const FIRST_TRANSFER: u64 = 71_870;

/// How long a token is good for.
const TOKEN_LIFE: Duration = Duration::from_secs(7_199);

/// How long one of the short-lived client is.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// Verifications remembered; beyond that the oldest are forgotten.
const REMEMBERED: usize = 200_000;

/// PayU's memory.
pub(crate) struct Payu {
    tokens: Tokens,
    /// By `merchantRefId`.
    verifications: Memory<Arc<Verification>>,
    next_transfer: AtomicU64,
}

impl Payu {
    pub(crate) fn new() -> Self {
        Self {
            tokens: Tokens::new(),
            verifications: Memory::new(REMEMBERED),
            next_transfer: AtomicU64::new(FIRST_TRANSFER),
        }
    }

    fn next_transfer(&self) -> u64 {
        self.next_transfer.fetch_add(1, Ordering::Relaxed)
    }
}
