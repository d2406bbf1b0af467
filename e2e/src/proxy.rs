//! A TCP proxy that fails on demand.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc as async_mpsc, watch};
use tokio::task::JoinSet;

const BACKLOG: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Bytes pass.
    Forward,
    /// New connections are refused, and existing ones are reset.
    Cut,
    /// Connections are accepted, and nothing passes in either direction.
    Hang,
}

enum Order {
    Be(Mode),
    /// Connections that hung are reset.
    Reset,
}

/// The proxy. It runs in its own thread, so that a busy test does not stop it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    orders: Option<async_mpsc::UnboundedSender<(Order, mpsc::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy that forwards to `target`.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let (orders, received) = async_mpsc::unbounded_channel();
        let (ready, port) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                if let Ok(runtime) = runtime {
                    let _ = runtime.block_on(serve(target, received, &ready));
                }
            })?;
        let port = port.recv().context("the proxy does not start")?;
        Ok(Self {
            port,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Returns the proxy's port at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Refuses connections, and resets existing ones.
    pub fn cut(&self) {
        self.order(Order::Be(Mode::Cut));
    }

    /// Accepts connections but passes no bytes, on existing ones too.
    pub fn hang(&self) {
        self.order(Order::Be(Mode::Hang));
    }

    /// Passes bytes again, and resets the connections that hung, so that no byte arrives late.
    pub fn restore(&self) {
        self.order(Order::Reset);
        self.order(Order::Be(Mode::Forward));
    }

    /// Passes bytes again, those included that were sent meanwhile.
    pub fn thaw(&self) {
        self.order(Order::Be(Mode::Forward));
    }

    /// Returns when the order is carried out.
    fn order(&self, order: Order) {
        let (done, is_done) = mpsc::channel();
        if let Some(orders) = &self.orders {
            let _ = orders.send((order, done));
            let _ = is_done.recv();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The port: listening, or only bound so that no other process takes it.
enum Port {
    Open(TcpListener),
    Held(TcpSocket),
}

async fn serve(
    target: SocketAddr,
    mut orders: async_mpsc::UnboundedReceiver<(Order, mpsc::Sender<()>)>,
    ready: &mpsc::Sender<u16>,
) -> anyhow::Result<()> {
    let mut port = Port::Open(TcpListener::bind("127.0.0.1:0").await?);
    let Port::Open(listener) = &port else {
        return Ok(());
    };
    let address = listener.local_addr()?;
    ready.send(address.port())?;
    let (mode, _) = watch::channel(Mode::Forward);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some((order, done)) = order else { return Ok(()) };
                let next = match order {
                    Order::Reset => {
                        connections.shutdown().await;
                        *mode.borrow()
                    }
                    Order::Be(next) => next,
                };
                port = match (port, next) {
                    (Port::Open(listener), Mode::Cut) => {
                        drop(listener);
                        connections.shutdown().await;
                        let socket = TcpSocket::new_v4()?;
                        socket.set_reuseaddr(true)?;
                        socket.bind(address)?;
                        Port::Held(socket)
                    }
                    (Port::Held(socket), Mode::Forward | Mode::Hang) => Port::Open(socket.listen(BACKLOG)?),
                    (port, _) => port,
                };
                mode.send_replace(next);
                let _ = done.send(());
            }
            accepted = accept(&port) => {
                if let Ok(client) = accepted {
                    connections.spawn(forward(client, target, mode.subscribe()));
                }
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn accept(port: &Port) -> std::io::Result<TcpStream> {
    match port {
        Port::Open(listener) => listener.accept().await.map(|(stream, _)| stream),
        Port::Held(_) => std::future::pending().await,
    }
}

/// Forwards one connection. Dropping the future resets both sides.
async fn forward(client: TcpStream, target: SocketAddr, mut mode: watch::Receiver<Mode>) {
    let _ = client.set_zero_linger();
    let _ = client.set_nodelay(true);
    if mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = server.set_zero_linger();
    let _ = server.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::join!(
        pump(from_client, to_server, mode.clone()),
        pump(from_server, to_client, mode)
    );
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return;
        }
        match read {
            Ok(count) if count > 0 => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            _ => {
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn echoed(stream: &mut TcpStream) -> Option<u8> {
        stream.write_u8(7).await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn the_proxy_forwards_refuses_hangs_and_recovers_on_one_port() {
        let proxy = Proxy::start(echo().await).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut stream = connect().await.unwrap();
        assert_eq!(echoed(&mut stream).await, Some(7));
        proxy.cut();
        assert!(stream.read_u8().await.is_err());
        assert!(connect().await.is_err());
        proxy.restore();
        let mut stream = connect().await.unwrap();
        assert_eq!(echoed(&mut stream).await, Some(7));
        proxy.hang();
        let mut late = connect().await.unwrap();
        let silence = Duration::from_millis(100);
        assert!(timeout(silence, echoed(&mut stream)).await.is_err());
        assert!(timeout(silence, echoed(&mut late)).await.is_err());
        proxy.thaw();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
        assert_eq!(late.read_u8().await.unwrap(), 7);
        proxy.hang();
        assert!(timeout(silence, echoed(&mut stream)).await.is_err());
        proxy.restore();
        assert!(stream.read_u8().await.is_err());
    }
}
