//! A merchant's endpoint on a thread of its own. It does little work, because it runs on the cores that it measures: it notes when
//! the first byte of each request arrived, and accepts the event.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::complete;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The event's id, as a number.
    pub(crate) event: u128,
    /// Time of the first byte.
    pub(crate) at: DateTime<Utc>,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The endpoint takes connections and never replies.
    is_dead: AtomicBool,
    /// Requests without a reply.
    ignored: AtomicUsize,
    accepted: Mutex<Vec<Arrival>>,
}

impl Receiver {
    pub(crate) fn start(is_dead: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}/hooks", listener.local_addr()?);
        let state = Arc::new(State {
            is_dead: AtomicBool::new(is_dead),
            ..State::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::clone(&state);
        // The thread ends with the program.
        thread::spawn(move || runtime.block_on(serve(listener, shared)));
        Ok(Self { url, state })
    }

    /// Takes the requests that a dead endpoint gets from now on.
    pub(crate) fn revive(&self) {
        self.state.is_dead.store(false, Ordering::Relaxed);
    }

    /// Waits for one more request to the dead endpoint.
    pub(crate) async fn wait_for_call(&self, patience: Duration) -> Result<()> {
        let count = || self.state.ignored.load(Ordering::Relaxed);
        let before = count();
        wait_until(patience, || count() > before).await
    }

    /// Waits until this number of requests is accepted.
    pub(crate) async fn wait_until_accepted(&self, count: usize, patience: Duration) -> Result<()> {
        wait_until(patience, || self.count() >= count).await
    }

    pub(crate) fn count(&self) -> usize {
        self.accepted(<[Arrival]>::len)
    }

    /// Reads the accepted requests, in the order of their replies.
    pub(crate) fn accepted<T>(&self, read: impl FnOnce(&[Arrival]) -> T) -> T {
        let accepted = self.state.accepted.lock();
        read(&accepted.unwrap_or_else(PoisonError::into_inner))
    }
}

async fn wait_until(patience: Duration, is_reached: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_reached() {
        ensure!(
            began.elapsed() < patience,
            "the endpoint got too few requests within {patience:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn serve(listener: TcpListener, state: Arc<State>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_connection(stream, Arc::clone(&state)));
    }
}

/// Returns when the worker closes the connection.
async fn serve_connection(mut stream: TcpStream, state: Arc<State>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(8_192);
    loop {
        request.clear();
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        let at = Utc::now();
        let length = loop {
            if let Some(length) = complete(&request)? {
                break length;
            }
            let read = stream.read_buf(&mut request).await?;
            ensure!(read > 0, "a request broke off");
        };
        if state.is_dead.load(Ordering::Relaxed) {
            state.ignored.fetch_add(1, Ordering::Relaxed);
            while stream.read_buf(&mut request).await? > 0 {}
            return Ok(());
        }
        let event = event_of(&request[..length])?;
        let accepted = state.accepted.lock();
        accepted
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arrival { event, at });
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await?;
    }
}

/// Returns the event's id from the header `webhook-id`.
fn event_of(request: &[u8]) -> Result<u128> {
    const HEADER: &[u8] = b"\r\nwebhook-id: evt_";
    let mut places = request.windows(HEADER.len());
    let begin = places
        .position(|window| window.eq_ignore_ascii_case(HEADER))
        .context("a request without an event's id")?
        + HEADER.len();
    let digits = request[begin..].iter().map_while(|byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'v' => Some(byte - b'a' + 10),
        _ => None,
    });
    Ok(digits.fold(0, |id, digit| (id << 5) | u128::from(digit)))
}
