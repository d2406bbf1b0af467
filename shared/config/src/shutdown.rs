//! The one signal that says: stop taking, finish what is in hand, go.

use std::time::Duration;

use tokio::sync::watch;

/// Raises the signal. Dropping it raises it too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the signal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A signal not raised yet.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Raises it.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once it is raised.
    pub async fn raised(&mut self) {
        let _ = self.0.wait_for(|raised| *raised).await;
    }

    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Threads of a service's own runtime: both services do their heavy work elsewhere.
const THREADS: usize = 2;
/// What still hangs in a blocking thread after this (a query to a silent Postgres) ends with the process.
const ABANDON: Duration = Duration::from_secs(1);

/// Open files that a service asks for, as far as it may: a caller that waits for an outcome keeps its connection.
const OPEN_FILES: u64 = 65_536;

/// Runs a service to its end on a runtime of its own, with the signal that SIGTERM or SIGINT raises.
pub fn run_service<T, E>(service: impl AsyncFnOnce(Shutdown) -> Result<T, E>) -> Result<T, E>
where
    E: From<std::io::Error>,
{
    if let Err(error) = rlimit::increase_nofile_limit(OPEN_FILES) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    // A core dump would hold account numbers and keys.
    if let Err(error) = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0) {
        tracing::warn!(%error, "cannot forbid core dumps");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
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
    runtime.shutdown_timeout(ABANDON);
    result
}

/// Returns once the thread has ended, or after `patience` with a warning.
pub async fn join(thread: std::thread::JoinHandle<()>, patience: Duration) {
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(patience, joined).await.is_err() {
        tracing::warn!("a thread still waits for the database; it ends with the process");
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
