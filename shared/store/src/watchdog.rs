//! The watchdog: closes connections to Postgres whose server has stopped answering.
//!
//! Postgres ends each statement after its `statement_timeout`, and keepalives end a connection whose host is gone. Neither
//! helps where something between acknowledges every packet and forwards nothing: a proxy, a balancer, a stopped server. Then
//! the thread that waits for the response would wait for hours. The watchdog closes the socket under that thread, which gets
//! an error and takes a new connection.

#![allow(unsafe_code)] // libpq owns the sockets, and diesel shows none of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel::r2d2::{ConnectionManager, Error as R2d2Error, ManageConnection};
use diesel::{Connection, PgConnection};
use socket2::SockRef;

/// Time after which a statement without a response is given up; longer than the `statement_timeout` of every pool, by which
/// a server that works has responded.
const SILENCE_LIMIT: Duration = Duration::from_secs(7);
/// Interval between two looks at all connections.
const INTERVAL: Duration = Duration::from_millis(250);
const DEFAULT_PORT: u16 = 5432;

/// All watched connections of the process.
static WATCHED: Mutex<Vec<Weak<Watched>>> = Mutex::new(Vec::new());
/// Only one connection is opened at a time, so that the new socket is the one of this connection.
static OPENING: Mutex<()> = Mutex::new(());
static START: Once = Once::new();
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of connections that the watchdog has closed.
pub fn closed_connections() -> u64 {
    CLOSED.load(Ordering::Relaxed)
}

/// A connection's socket, and the time since which it waits for a response.
#[derive(Debug)]
struct Watched {
    socket: OwnedFd,
    waiting_since: Mutex<Option<Instant>>,
    is_closed: AtomicBool,
}

impl Watched {
    fn set_waiting(&self, since: Option<Instant>) {
        *lock(&self.waiting_since) = since;
    }

    fn close_if_silent(&self) {
        let is_silent = lock(&self.waiting_since).is_some_and(|at| at.elapsed() > SILENCE_LIMIT);
        if is_silent && !self.is_closed.swap(true, Ordering::Relaxed) {
            CLOSED.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "database connection closed: no response to a statement for {} s",
                SILENCE_LIMIT.as_secs()
            );
            // A socket that is closed already needs no closing.
            let _ = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Notes when a connection's statements begin and end.
struct Statements(Arc<Watched>);

impl Instrumentation for Statements {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => self.0.set_waiting(Some(Instant::now())),
            InstrumentationEvent::FinishQuery { .. } => self.0.set_waiting(None),
            _ => {}
        }
    }
}

/// Opens connections that the watchdog watches.
#[derive(Debug)]
pub struct Manager {
    inner: ConnectionManager<PgConnection>,
    /// Ports of Postgres, by which a connection's socket is found.
    ports: Vec<u16>,
}

impl Manager {
    /// Makes a manager for this URL or connection string.
    pub(crate) fn new(database_url: String) -> Self {
        Self {
            ports: ports(&database_url),
            inner: ConnectionManager::new(database_url),
        }
    }

    /// Returns the open sockets to Postgres by their addresses, own and peer: the number of a closed descriptor is used again at
    /// once.
    fn sockets(&self) -> BTreeMap<(SocketAddr, SocketAddr), RawFd> {
        let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
        open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|socket| Some((self.addresses(socket)?, socket)))
            .collect()
    }

    /// Returns the addresses of a socket to Postgres.
    fn addresses(&self, socket: RawFd) -> Option<(SocketAddr, SocketAddr)> {
        // SAFETY: the descriptor is only asked for its addresses; one that was closed since has none.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        let socket = SockRef::from(&socket);
        let peer = socket.peer_addr().ok()?.as_socket()?;
        let own = socket.local_addr().ok()?.as_socket()?;
        self.ports.contains(&peer.port()).then_some((own, peer))
    }

    /// Watches a connection; not one through a Unix socket, which a network cannot cut.
    fn watch(connection: &mut PgConnection, socket: RawFd) {
        // SAFETY: the connection, which is open, owns the descriptor.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        let Ok(socket) = socket.try_clone_to_owned() else {
            return;
        };
        let watched = Arc::new(Watched {
            socket,
            waiting_since: Mutex::new(None),
            is_closed: AtomicBool::new(false),
        });
        lock(&WATCHED).push(Arc::downgrade(&watched));
        connection.set_instrumentation(Statements(watched));
        START.call_once(|| {
            let thread = std::thread::Builder::new().name("database-watchdog".to_owned());
            if let Err(error) = thread.spawn(run) {
                tracing::error!(%error, "database watchdog not started");
            }
        });
    }
}

impl ManageConnection for Manager {
    type Connection = PgConnection;
    type Error = R2d2Error;

    fn connect(&self) -> Result<PgConnection, R2d2Error> {
        let opening = lock(&OPENING);
        let before = self.sockets();
        let mut connection = self.inner.connect()?;
        let now = self.sockets();
        let mut new = now
            .iter()
            .filter(|(addresses, _)| !before.contains_key(addresses));
        match (new.next(), new.next()) {
            (Some((_, &socket)), None) => Self::watch(&mut connection, socket),
            (None, _) if now.is_empty() => {}
            _ => tracing::warn!(
                "database connection not watched: its socket was not found; a server that stops responding may block it"
            ),
        }
        drop(opening);
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut PgConnection) -> Result<(), R2d2Error> {
        self.inner.is_valid(connection)
    }

    fn has_broken(&self, connection: &mut PgConnection) -> bool {
        // The connection goes back to the pool. A query that returned rows did not say that it is finished.
        let statements = connection.instrumentation().downcast_mut::<Statements>();
        if let Some(Statements(watched)) = statements {
            watched.set_waiting(None);
        }
        self.inner.has_broken(connection)
    }
}

fn run() {
    loop {
        std::thread::sleep(INTERVAL);
        lock(&WATCHED).retain(|watched| {
            let watched = watched.upgrade();
            watched.as_deref().map(Watched::close_if_silent).is_some()
        });
    }
}

/// Returns the ports of a Postgres URL or connection string.
fn ports(database_url: &str) -> Vec<u16> {
    let (hosts, parameters) = match database_url.split_once("://") {
        Some((_, rest)) => {
            let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
            let hosts = before.split('/').next().unwrap_or_default();
            let hosts = hosts.rsplit('@').next().unwrap_or_default();
            (hosts, query.replace('&', " "))
        }
        None => ("", database_url.to_owned()),
    };
    let of_host = |host: &str| host.rsplit_once(':')?.1.parse().ok();
    let mut ports: Vec<_> = hosts.split(',').filter_map(of_host).collect();
    let named = parameters.split_whitespace();
    let named = named.filter_map(|parameter| parameter.strip_prefix("port="));
    ports.extend(
        named
            .flat_map(|list| list.split(','))
            .filter_map(|port| port.parse::<u16>().ok()),
    );
    ports.push(DEFAULT_PORT);
    ports
}

/// Locks a mutex. A panic of another holder is no reason to stop: each change under a lock is complete in itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_urls_and_connection_strings() {
        for (text, expected) in [
            ("postgres://u:p@h/d", vec![5432]),
            (
                "postgresql://u:p%40@[::1]:6432,other:7000/d?connect_timeout=2",
                vec![6432, 7000, 5432],
            ),
            ("postgres:///d?host=h&port=6000", vec![6000, 5432]),
            ("host=h port=6543,6544 dbname=d", vec![6543, 6544, 5432]),
        ] {
            assert_eq!(ports(text), expected, "{text}");
        }
    }
}
