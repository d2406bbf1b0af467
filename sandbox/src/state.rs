//! The state that all gateways share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::behaviour::Behaviour;
use crate::calls::Calls;
use crate::gateway::{Gateway, PerGateway};
use crate::ledger::Ledger;
use crate::scenario::FirstCalls;
use crate::settings::Settings;
use crate::webhooks::Webhooks;

/// The ledger, the switches and the counts, shared by all gateways and all worker threads.
pub(crate) struct Sandbox {
    pub(crate) ledger: Ledger,
    pub(crate) behaviours: PerGateway<Behaviour>,
    pub(crate) calls: Calls,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) first_calls: FirstCalls,
    next_number: AtomicU64,
    seed: u64,
    draws: PerGateway<Option<StdRng>>,
    /// Least time for which an account of "pending, then …" stays pending.
    pub(crate) published_pending: Duration,
    pub(crate) hang: Duration,
    pub(crate) gateways: Vec<Gateway>,
}

impl Sandbox {
    /// Opens the ledger. Fails when its file cannot be read, or no HTTP client can be made.
    pub(crate) fn new(settings: &Settings, gateways: Vec<Gateway>) -> anyhow::Result<Self> {
        let ledger = match settings.ledger_file() {
            Some(path) => Ledger::open(path, &gateways)?,
            None => Ledger::default(),
        };
        let first_number = u64::try_from(Utc::now().timestamp_micros()).unwrap_or(1);
        Ok(Self {
            ledger,
            behaviours: PerGateway::new(&gateways),
            calls: Calls::new(&gateways),
            webhooks: Arc::new(Webhooks::new(&gateways)?),
            first_calls: FirstCalls::default(),
            next_number: AtomicU64::new(first_number),
            seed: settings.seed.unwrap_or_else(rand::random),
            draws: PerGateway::new(&gateways),
            published_pending: Duration::from_millis(settings.published_pending_ms),
            hang: Duration::from_millis(settings.hang_ms),
            gateways,
        })
    }

    /// Returns a gateway's behaviour at this moment.
    pub(crate) fn behaviour(&self, gateway: Gateway) -> Behaviour {
        *self.behaviours.lock(gateway)
    }

    /// Returns a random draw, uniform in 0..1. The seed decides the first draw of a gateway, the second, and so on.
    pub(crate) fn draw(&self, gateway: Gateway) -> f64 {
        let place = self.gateways.iter().take_while(|other| **other != gateway);
        let seed = || self.seed.wrapping_add(place.count() as u64);
        let mut draws = self.draws.lock(gateway);
        let draws = draws.get_or_insert_with(|| StdRng::seed_from_u64(seed()));
        draws.random()
    }

    /// Returns a number for an id. Numbers count up from the microsecond of the start: after a restart
    /// no number repeats one in the ledger's file, and each fits a double exactly.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}
