//! The validations that one loop of the worker processes now.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::error;

use crate::consumer_load::{Permit, QueuedWork};
use crate::processor::ValidationProcessor;

/// Validations in progress; dropping it stops them.
#[derive(Debug, Default)]
pub(crate) struct InProgress(JoinSet<()>);

impl InProgress {
    /// Processes a validation, and those that follow it in the queue of its gateway account.
    pub(crate) fn start(
        &mut self,
        processor: &Arc<ValidationProcessor>,
        work: QueuedWork,
        permit: Permit,
    ) {
        let processor = Arc::clone(processor);
        self.spawn(async move {
            processor.run(work, &permit).await;
        });
    }

    /// Adds a task that ends with the validations.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while let Some(ended) = self.0.try_join_next() {
            log(ended);
        }
        self.0.spawn(task);
    }

    /// Waits until all have ended, at most `drain`.
    pub(crate) async fn finish(&mut self, drain: Duration) {
        let finished = async {
            while let Some(ended) = self.0.join_next().await {
                log(ended);
            }
        };
        if tokio::time::timeout(drain, finished).await.is_err() {
            error!(
                left = self.0.len(),
                "shutdown left validations unfinished; another worker takes them over"
            );
            // A validation that ends before the process does is settled all the same.
            self.0.detach_all();
        }
    }
}

fn log(ended: Result<(), tokio::task::JoinError>) {
    if let Err(failure) = ended {
        error!(error = %failure, "processing panicked; the scheduler takes the validation back");
    }
}
