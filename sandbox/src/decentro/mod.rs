//! Decentro as its public contract has it: validation of a bank account (version 3; penniless, by penny
//! drop, or hybrid) and its status, under `/decentro`. At Decentro the two are on different hosts.
//!
//! One caller is known: [`CLIENT_ID`], [`CLIENT_SECRET`]. It has two consumers: [`CONSUMER_URN`] is the
//! one the simulation data are published for, and no velocity limit applies to it;
//! [`LIMITED_CONSUMER_URN`] is held to them.

mod bank;
mod house;
mod ids;
mod limits;
mod published;
mod refusal;
mod routes;
mod velocity;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::decentro::bank::Validation;
use crate::decentro::velocity::Velocity;
use crate::memory::Memory;

pub(crate) use crate::decentro::routes::routes;

/// The `client_id` that is accepted.
pub const CLIENT_ID: &str = "decentro_sandbox_client";

/// The `client_secret` that is accepted.
pub const CLIENT_SECRET: &str = "decentro_sandbox_secret";

/// The `consumer_urn` of the published simulation data.
pub const CONSUMER_URN: &str = "4ac34260a0e34e4f82069e85b4a881fd";

/// The `consumer_urn` that is held to the velocity limits: 3 validations of one account a minute, 4 an
/// hour, 5 a day.
pub const LIMITED_CONSUMER_URN: &str = "00000000000000000000000000000345";

/// Validations, and references that are used up, remembered; beyond that the oldest are forgotten.
const REMEMBERED: usize = 200_000;

/// Decentro's memory.
pub(crate) struct Decentro {
    /// References that are used up.
    references: Memory<()>,
    by_reference: Memory<Arc<Validation>>,
    by_txn: Memory<Arc<Validation>>,
    velocity: Mutex<Velocity>,
}

impl Decentro {
    pub(crate) fn new() -> Self {
        Self {
            references: Memory::new(REMEMBERED),
            by_reference: Memory::new(REMEMBERED),
            by_txn: Memory::new(REMEMBERED),
            velocity: Mutex::new(Velocity::default()),
        }
    }

    fn velocity(&self) -> MutexGuard<'_, Velocity> {
        self.velocity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
