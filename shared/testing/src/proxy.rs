//! A TCP proxy that stands between a test and a server, and hangs or cuts the line when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq)]
enum Line {
    /// Bytes pass.
    Open,
    /// Bytes wait; nobody is told.
    Hanging,
    /// Connections are closed, and new ones too.
    Cut,
}

/// The proxy; lives on a thread of its own, so that a test that blocks does not stop it.
pub struct Proxy {
    port: u16,
    line: Arc<watch::Sender<Line>>,
    accepted: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Before `target`, a `host:port`; open.
    pub fn before(target: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(watch::channel(Line::Open).0);
        let accepted = Arc::new(AtomicUsize::new(0));
        runtime.spawn(accept(
            listener,
            target.to_owned(),
            Arc::clone(&line),
            Arc::clone(&accepted),
        ));
        Self {
            port,
            line,
            accepted,
            runtime: Some(runtime),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn open(&self) {
        self.line.send_replace(Line::Open);
    }

    pub fn hang(&self) {
        self.line.send_replace(Line::Hanging);
    }

    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
        // Until those who forward have seen it.
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    target: String,
    line: Arc<watch::Sender<Line>>,
    accepted: Arc<AtomicUsize>,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        if *line.borrow() == Line::Cut {
            continue;
        }
        let Ok(server) = TcpStream::connect(&target).await else {
            continue;
        };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(forward(from_client, to_server, line.subscribe()));
        tokio::spawn(forward(from_server, to_client, line.subscribe()));
    }
}

/// Forwards while the line is open; its end closes its side of both connections.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = line.wait_for(|line| *line == Line::Cut) => return,
        };
        let Ok(count @ 1..) = read else { return };
        let now = line.wait_for(|line| *line != Line::Hanging).await;
        if now.map_or(Line::Cut, |now| *now) == Line::Cut {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
