//! Graceful shutdown: stop accepting work, finish open work, exit.

use std::time::Duration;

use tokio::sync::watch;

/// Starts the shutdown. Dropping the trigger starts it too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the shutdown; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Creates a trigger and its receiver.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Starts the shutdown.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns when the shutdown has started.
    pub async fn raised(&mut self) {
        let _ = self.0.wait_for(|raised| *raised).await;
    }

    /// Whether the shutdown has started.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Threads of a service's runtime: both services do their heavy work on other threads.
const RUNTIME_THREADS: usize = 2;
/// How long the end of the runtime waits for blocking threads (a query to an unresponsive Postgres); then the process ends
/// them.
const BLOCKING_TIMEOUT: Duration = Duration::from_secs(1);

/// Wanted limit of open files, as far as the system allows: a caller that waits for an outcome keeps its connection open.
const OPEN_FILES: u64 = 65_536;

/// Runs a service on a runtime of its own; SIGTERM and SIGINT start its shutdown.
pub fn run_service<T, E>(service: impl AsyncFnOnce(Shutdown) -> Result<T, E>) -> Result<T, E>
where
    E: From<std::io::Error>,
{
    if let Err(error) = rlimit::increase_nofile_limit(OPEN_FILES) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    // A core dump would hold account numbers and keys.
    if let Err(error) = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0) {
        tracing::warn!(%error, "cannot disable core dumps");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let (trigger, shutdown) = channel();
        tokio::spawn(async move {
            let _ = signalled().await;
            trigger.raise();
        });
        service(shutdown).await
    });
    runtime.shutdown_timeout(BLOCKING_TIMEOUT);
    result
}

/// Returns when the thread has ended, or after `timeout` with a warning.
pub async fn join(thread: std::thread::JoinHandle<()>, timeout: Duration) {
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(timeout, joined).await.is_err() {
        tracing::warn!("thread still waits for the database; the process ends it");
    }
}

/// Returns at SIGTERM or SIGINT.
async fn signalled() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
