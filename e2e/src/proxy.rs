//! A TCP proxy that fails on demand, to be put in front of Postgres, RabbitMQ or the gateway.

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
    /// What comes is passed on.
    Forward,
    /// Connections are refused, and those that stood are reset.
    Cut,
    /// Connections are accepted, and nothing passes in either direction.
    Hang,
}

enum Order {
    Be(Mode),
    /// What hung is reset instead of going on.
    Reset,
}

/// The proxy. It runs in a thread of its own, so that no test can hold it up; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    orders: Option<async_mpsc::UnboundedSender<(Order, mpsc::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy that forwards to `target`.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let (orders, received) = async_mpsc::unbounded_channel();
        let (told, port) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                if let Ok(runtime) = runtime {
                    let _ = runtime.block_on(serve(target, received, &told));
                }
            })?;
        let port = port.recv().context("the proxy does not come up")?;
        Ok(Self {
            port,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Its own port, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections are refused; those that stood are reset.
    pub fn cut(&self) {
        self.order(Order::Be(Mode::Cut));
    }

    /// From now on connections are accepted and nothing passes, also on those that stood.
    pub fn hang(&self) {
        self.order(Order::Be(Mode::Hang));
    }

    /// From now on everything passes again. What hung is reset: nothing that was sent meanwhile arrives late.
    pub fn restore(&self) {
        self.order(Order::Reset);
        self.order(Order::Be(Mode::Forward));
    }

    /// From now on everything passes again, and what was sent meanwhile arrives late.
    pub fn thaw(&self) {
        self.order(Order::Be(Mode::Forward));
    }

    /// Returns when the order has been carried out.
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

/// The port, listening or only held so that nobody else takes it.
enum Port {
    Open(TcpListener),
    Held(TcpSocket),
}

async fn serve(
    target: SocketAddr,
    mut orders: async_mpsc::UnboundedReceiver<(Order, mpsc::Sender<()>)>,
    told: &mpsc::Sender<u16>,
) -> anyhow::Result<()> {
    let mut port = Port::Open(TcpListener::bind("127.0.0.1:0").await?);
    let Port::Open(listener) = &port else {
        return Ok(());
    };
    let address = listener.local_addr()?;
    told.send(address.port())?;
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

/// One connection. Dropped half-way it resets both sides.
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

    async fn heard(stream: &mut TcpStream) -> Option<u8> {
        stream.write_u8(7).await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn it_forwards_refuses_hangs_and_recovers_on_the_same_port() {
        let proxy = Proxy::start(echo().await).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut stream = connect().await.unwrap();
        assert_eq!(heard(&mut stream).await, Some(7));
        proxy.cut();
        assert!(stream.read_u8().await.is_err());
        assert!(connect().await.is_err());
        proxy.restore();
        let mut stream = connect().await.unwrap();
        assert_eq!(heard(&mut stream).await, Some(7));
        proxy.hang();
        let mut late = connect().await.unwrap();
        let silence = Duration::from_millis(100);
        assert!(timeout(silence, heard(&mut stream)).await.is_err());
        assert!(timeout(silence, heard(&mut late)).await.is_err());
        proxy.thaw();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
        assert_eq!(late.read_u8().await.unwrap(), 7);
        proxy.hang();
        assert!(timeout(silence, heard(&mut stream)).await.is_err());
        proxy.restore();
        assert!(stream.read_u8().await.is_err());
    }
}
