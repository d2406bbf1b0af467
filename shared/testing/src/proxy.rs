//! A TCP proxy that fails on demand, in front of Postgres, RabbitMQ, a gateway or a collector.
//!
//! ```text
//! let proxy = Proxy::start("127.0.0.1:5432")?;   // clients connect to 127.0.0.1:{proxy.port()}
//! proxy.cut();                                   // refuse new connections, reset the others
//! proxy.restore();
//! ```

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc as async_mpsc, watch};
use tokio::task::JoinSet;

const BACKLOG: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Forward,
    Cut,
    Drop,
    Hang,
    /// Hang on the connections that are open; forward on new ones.
    HangOpen,
}

struct Order {
    /// Reset the open connections first.
    reset: bool,
    mode: Mode,
    /// From now on, new connections lead here.
    target: Option<SocketAddr>,
    done: mpsc::Sender<()>,
}

/// The proxy. It runs on a thread of its own, so that a blocking test cannot stop it; dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    accepted: Arc<AtomicUsize>,
    orders: Option<async_mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy that forwards to `target`, a `host:port` or an address.
    pub fn start(target: impl ToSocketAddrs) -> std::io::Result<Self> {
        let no_address = || std::io::Error::other("the target has no address");
        let target = target.to_socket_addrs()?.next().ok_or_else(no_address)?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (orders, received) = async_mpsc::unbounded_channel();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                let _ = runtime.block_on(serve(listener, address, target, received, &count));
            })?;
        Ok(Self {
            port: address.port(),
            accepted,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Returns the proxy's own port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Refuses new connections and resets the open ones.
    pub fn cut(&self) {
        self.order(true, Mode::Cut);
    }

    /// Accepts new connections and closes each at once; resets the open ones.
    pub fn drop_connections(&self) {
        self.order(true, Mode::Drop);
    }

    /// Accepts new connections, but passes nothing on, in either direction, on any connection.
    pub fn hang(&self) {
        self.order(false, Mode::Hang);
    }

    /// Passes nothing on, in either direction, on the connections that are open now, which stay open and acknowledge
    /// everything. Forwards on new connections.
    pub fn hang_open_connections(&self) {
        self.order(false, Mode::HangOpen);
    }

    /// Forwards again. Resets the open connections, so that nothing sent before arrives late.
    pub fn restore(&self) {
        self.order(true, Mode::Forward);
    }

    /// Forwards again. What hung arrives late.
    pub fn thaw(&self) {
        self.order(false, Mode::Forward);
    }

    /// Forwards to another server. Resets the open connections.
    pub fn lead_to(&self, target: SocketAddr) {
        self.order_with(true, Mode::Forward, Some(target));
    }

    fn order(&self, reset: bool, mode: Mode) {
        self.order_with(reset, mode, None);
    }

    /// Returns when the proxy has carried out the order.
    fn order_with(&self, reset: bool, mode: Mode, target: Option<SocketAddr>) {
        let (done, is_done) = mpsc::channel();
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order {
                reset,
                mode,
                target,
                done,
            });
            is_done.recv().expect("the proxy has ended");
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

/// The proxy's port: open, or only bound, so that connections are refused and no other process takes the port.
enum Port {
    Open(TcpListener),
    Bound(TcpSocket),
}

async fn serve(
    listener: std::net::TcpListener,
    address: SocketAddr,
    mut target: SocketAddr,
    mut orders: async_mpsc::UnboundedReceiver<Order>,
    accepted: &AtomicUsize,
) -> std::io::Result<()> {
    let mut port = Port::Open(TcpListener::from_std(listener)?);
    let (mut mode, _) = watch::channel(Mode::Forward);
    // A connection hangs until its sender is dropped.
    let (mut hanging, mut thawed) = (Vec::new(), Vec::new());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(order) = order else { return Ok(()) };
                target = order.target.unwrap_or(target);
                if order.mode == Mode::Cut && let Port::Open(listener) = port {
                    drop(listener);
                    port = Port::Bound(bind(address).await?);
                } else if order.mode != Mode::Cut && let Port::Bound(socket) = port {
                    port = Port::Open(socket.listen(BACKLOG)?);
                }
                if order.reset {
                    connections.shutdown().await;
                }
                if order.mode == Mode::HangOpen {
                    mode.send_replace(Mode::Hang);
                    hanging.push(std::mem::replace(&mut mode, watch::channel(Mode::Forward).0));
                } else {
                    mode.send_replace(order.mode);
                }
                if order.mode == Mode::Forward {
                    for hanging in hanging.drain(..) {
                        hanging.send_replace(Mode::Forward);
                        // The connections keep this mode until they end.
                        thawed.push(hanging);
                    }
                }
                let _ = order.done.send(());
            }
            client = accept(&port) => {
                if let Ok(client) = client {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    if *mode.borrow() != Mode::Drop {
                        connections.spawn(forward(client, target, mode.subscribe()));
                    }
                }
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Binds the port again. An outgoing connection of any process may have taken it for a moment.
async fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let mut tries = 0;
    loop {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Ok(()) => return Ok(socket),
            Err(error) if tries == 500 => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn accept(port: &Port) -> std::io::Result<TcpStream> {
    match port {
        Port::Open(listener) => listener.accept().await.map(|(stream, _)| stream),
        Port::Bound(_) => std::future::pending().await,
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
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        copy(from_client, to_server, mode.clone()),
        copy(from_server, to_client, mode)
    );
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return;
        }
        let Ok(count @ 1..) = read else {
            let _ = to.shutdown().await;
            return;
        };
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn echo_server() -> SocketAddr {
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

    async fn echo(stream: &mut TcpStream) -> Option<u8> {
        stream.write_u8(7).await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn it_forwards_refuses_hangs_drops_recovers_and_leads_elsewhere_on_the_same_port() {
        let proxy = Proxy::start(echo_server().await).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut stream = connect().await.unwrap();
        assert_eq!(echo(&mut stream).await, Some(7));
        proxy.cut();
        assert!(stream.read_u8().await.is_err());
        assert!(connect().await.is_err());
        proxy.restore();
        let mut stream = connect().await.unwrap();
        assert_eq!(echo(&mut stream).await, Some(7));
        proxy.hang();
        let mut late = connect().await.unwrap();
        let silence = Duration::from_millis(100);
        assert!(timeout(silence, echo(&mut stream)).await.is_err());
        assert!(timeout(silence, echo(&mut late)).await.is_err());
        proxy.thaw();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
        assert_eq!(late.read_u8().await.unwrap(), 7);
        proxy.hang_open_connections();
        assert!(timeout(silence, echo(&mut stream)).await.is_err());
        assert_eq!(echo(&mut connect().await.unwrap()).await, Some(7));
        proxy.thaw();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
        proxy.restore();
        assert!(stream.read_u8().await.is_err());
        proxy.drop_connections();
        // The connection may be reset before the client sees that it is open.
        let exchange = async || echo(&mut connect().await.ok()?).await;
        assert_eq!(exchange().await, None);
        assert_eq!(proxy.accepted(), 5);
        // Bound and not listening: no other process gets the port, and it refuses connections.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
        proxy.lead_to(closed.local_addr().unwrap());
        assert_eq!(exchange().await, None);
        proxy.lead_to(echo_server().await);
        assert_eq!(exchange().await, Some(7));
    }
}
