//! The validations that this worker processes now, and its connection to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The load of the consumer, shared with scheduler, health endpoints and metrics.
#[derive(Debug)]
pub(crate) struct ConsumerLoad {
    permits: Arc<Semaphore>,
    concurrency: u16,
    is_connected: AtomicBool,
}

impl ConsumerLoad {
    pub(crate) fn new(concurrency: u16) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency.into())),
            concurrency,
            is_connected: AtomicBool::new(false),
        }
    }

    /// Waits until the worker may process another validation; it counts until the permit is dropped.
    pub(crate) async fn acquire(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.permits).acquire_owned().await
    }

    /// Takes at most `count` of the free permits.
    pub(crate) fn take_free(&self, count: usize) -> Vec<OwnedSemaphorePermit> {
        let take = |_| Arc::clone(&self.permits).try_acquire_owned().ok();
        (0..count).map_while(take).collect()
    }

    /// Whether the worker processes as many validations as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Whether the broker can deliver messages.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }
}

impl Collector for ConsumerLoad {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let max = usize::from(self.concurrency);
        let current = max.saturating_sub(self.permits.available_permits());
        for (name, help, value) in [
            (
                "validations_in_progress",
                "Validations that this worker processes now",
                current,
            ),
            (
                "validations_in_progress_max",
                "Maximum number of validations that this worker processes at once",
                max,
            ),
            (
                "broker_connected",
                "1 while the broker can deliver messages to this worker",
                usize::from(self.is_connected()),
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}
