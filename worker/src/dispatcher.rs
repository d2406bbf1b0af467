//! Begins the processing of queued validations, each in its turn, and finishes those in progress when the worker stops.

use std::sync::Arc;
use std::time::Duration;

use khata_config::shutdown::Shutdown;

use crate::clock::DatabaseClock;
use crate::consumer_load::ConsumerLoad;
use crate::in_progress::InProgress;
use crate::processor::ValidationProcessor;

/// Validations that begin together.
const AT_ONCE: usize = 64;

pub(crate) struct Dispatcher {
    pub(crate) processor: Arc<ValidationProcessor>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) clock: Arc<DatabaseClock>,
    /// How long validations may take to finish after the shutdown began.
    pub(crate) drain: Duration,
}

impl Dispatcher {
    /// Begins validations until shut down, and none while the machine's clock is wrong. Then waits for those in progress.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut validations = InProgress::default();
        loop {
            let mut begun = 0;
            let next = async {
                self.clock.permits_claims().await;
                tokio::select! {
                    biased;
                    () = self.clock.forbids_claims() => None,
                    next = self.load.next() => Some(next),
                }
            };
            tokio::select! {
                biased;
                () = shutdown.raised() => break,
                mut next = next => while let Some((queued, permit)) = next {
                    validations.start(&self.processor, queued, permit);
                    // At once, without another look at the clock and the shutdown.
                    begun += 1;
                    next = (begun < AT_ONCE).then(|| self.load.next_now()).flatten();
                }
            }
        }
        self.load.stop();
        validations.finish(self.drain).await;
    }
}
