//! Signals that name merchants with new deliveries: a delivery then begins at once, and not when its endpoint is polled. A lost signal delays
//! a delivery by about a second.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use khata_config::shutdown::Shutdown;
use khata_domain::MerchantId;
use khata_queue::{Broker, DeliverySignals, DueDeliveries, RECONNECT};
use tokio::sync::Notify;
use tracing::{debug, info};
use uuid::Uuid;

/// How long a message gathers merchants: the validations of one commit settle together.
const GATHER_INTERVAL: Duration = Duration::from_millis(2);

/// The merchants with new deliveries, until the deliverer and the other workers know.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    inner: Mutex<Inner>,
    here: Notify,
    to_others: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The merchants with an endpoint of this worker.
    owned: HashSet<MerchantId>,
    /// The merchants that have an endpoint of another worker, or of none.
    of_others: HashSet<MerchantId>,
    due_here: HashSet<MerchantId>,
    due_at_others: HashSet<MerchantId>,
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals that a transaction wrote deliveries of the merchant.
    pub(crate) fn has_deliveries(&self, merchant: MerchantId) {
        let mut inner = self.lock();
        inner.due_here.insert(merchant);
        let is_of_others = !inner.owned.contains(&merchant) || inner.of_others.contains(&merchant);
        if is_of_others {
            inner.due_at_others.insert(merchant);
        }
        drop(inner);
        self.here.notify_one();
        if is_of_others {
            self.to_others.notify_one();
        }
    }

    /// Signals that another process may have written deliveries of the merchant just now. Concerns this worker only.
    pub(crate) fn may_have_deliveries(&self, merchant: MerchantId) {
        let mut inner = self.lock();
        if inner.owned.contains(&merchant) {
            inner.due_here.insert(merchant);
            drop(inner);
            self.here.notify_one();
        }
    }

    /// Sets the merchants with an endpoint of this worker, and those of them of which others own one.
    pub(super) fn set_owned(&self, owned: HashSet<MerchantId>, of_others: HashSet<MerchantId>) {
        let mut inner = self.lock();
        inner.owned = owned;
        inner.of_others = of_others;
    }

    /// Waits for merchants with new deliveries.
    pub(super) async fn due(&self) -> HashSet<MerchantId> {
        loop {
            let due = std::mem::take(&mut self.lock().due_here);
            if !due.is_empty() {
                return due;
            }
            self.here.notified().await;
        }
    }

    /// Exchanges signals with other workers until shut down. Without the broker, the workers poll only.
    pub(crate) async fn exchange(
        self: Arc<Self>,
        broker: Broker,
        worker: Uuid,
        mut shutdown: Shutdown,
    ) {
        let mut failures = 0;
        while !shutdown.is_raised() {
            let connected = tokio::select! {
                () = shutdown.raised() => return,
                connected = DeliverySignals::connect(&broker, worker) => connected,
            };
            match connected {
                Ok(mut link) => {
                    info!("exchanging signals of due deliveries");
                    failures = 0;
                    self.exchange_over(&mut link, &mut shutdown).await;
                    link.close().await;
                }
                Err(error) => {
                    debug!(%error, "signals of due deliveries not exchanged; retrying");
                    failures += 1;
                }
            }
            tokio::select! {
                () = shutdown.raised() => return,
                () = tokio::time::sleep(RECONNECT.wait(failures, rand::random())) => {}
            }
        }
    }

    /// Returns when the connection has ended.
    async fn exchange_over(&self, link: &mut DeliverySignals, shutdown: &mut Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.raised() => return,
                due = link.next() => {
                    let Some(due) = due else { return };
                    // To be taken over, too, if no worker owns the endpoints.
                    self.lock().due_here.extend(due.merchants);
                    self.here.notify_one();
                }
                () = self.to_others.notified() => {
                    tokio::time::sleep(GATHER_INTERVAL).await;
                    let merchants = std::mem::take(&mut self.lock().due_at_others);
                    let merchants = merchants.into_iter().collect();
                    if let Err(error) = link.publish(&DueDeliveries { merchants }).await {
                        debug!(%error, "signal of due deliveries lost");
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_get_signals_of_endpoints_that_are_not_all_owned_here() {
        let signals = Signals::default();
        let (here, shared, elsewhere) = (MerchantId::new(), MerchantId::new(), MerchantId::new());
        signals.set_owned([here, shared].into(), [shared].into());
        for merchant in [here, shared, elsewhere] {
            signals.has_deliveries(merchant);
        }
        let inner = std::mem::take(&mut *signals.lock());
        assert_eq!(inner.due_here, [here, shared, elsewhere].into());
        assert_eq!(inner.due_at_others, [shared, elsewhere].into());
        signals.set_owned([here].into(), HashSet::new());
        for merchant in [here, elsewhere] {
            signals.may_have_deliveries(merchant);
        }
        assert_eq!(signals.lock().due_here, [here].into());
    }
}
