//! The connection pool: few connections, each with time-outs for statements, locks and idle transactions.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::r2d2::{CustomizeConnection, Error as R2d2Error};
use diesel::{Connection, ConnectionResult, PgConnection, QueryResult, r2d2};

use crate::database_url::check;
use crate::statement::statement;
use crate::watchdog::{Manager, closed_connections};

/// Address of Postgres.
#[derive(Clone, clap::Args)]
pub struct DatabaseSettings {
    /// Postgres URL, postgres://user:password@host[,host]/database; give several hosts and target_session_attrs=read-write
    /// for failover
    #[arg(long, env = "KHATA_DATABASE_URL", hide_env_values = true, value_parser = check)]
    pub database_url: String,
}

impl std::fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseSettings(…)")
    }
}

/// Maximum wait for a free or new connection, so that a request without a database gets its reply within 3 s.
const CHECKOUT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Connections shared by the readers and lanes of one process.
pub type Pool = r2d2::Pool<Manager>;
/// A connection checked out of the pool.
pub type PooledConnection = r2d2::PooledConnection<Manager>;

/// Returns a pool's number of open connections, of idle ones among them, its maximum, and the number of connections that the
/// process has closed because their server stopped responding.
pub fn connections(pool: &Pool) -> (u32, u32, u32, u64) {
    let (state, closed) = (pool.state(), closed_connections());
    (
        state.connections,
        state.idle_connections,
        pool.max_size(),
        closed,
    )
}

/// Returns Postgres's time.
pub fn database_time(connection: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    statement("select now()").tuple(connection)
}

#[derive(Debug)]
struct Limits;

impl CustomizeConnection<PgConnection, R2d2Error> for Limits {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), R2d2Error> {
        let set: QueryResult<()> = connection.batch_execute(
            "set statement_timeout = '5s'; set lock_timeout = '2s'; set idle_in_transaction_session_timeout = '3s'",
        );
        set.map_err(R2d2Error::QueryError)
    }
}

/// Opens a pool of at most `size` connections. Returns at once, also while the database is unreachable: each checkout tries
/// to connect for 1.5 s.
pub fn open(database_url: &str, application_name: &str, size: u32) -> Pool {
    r2d2::Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .connection_timeout(CHECKOUT_TIMEOUT)
        .connection_customizer(Box::new(Limits))
        .build_unchecked(Manager::new(with_limits(database_url, application_name)))
}

/// Opens one connection, which notices a dead server as those of a pool do.
pub fn connect(database_url: &str, application_name: &str) -> ConnectionResult<PgConnection> {
    PgConnection::establish(&with_limits(database_url, application_name))
}

/// Adds the time-outs that libpq needs to notice a dead server, unless the URL or connection string sets them.
/// `tcp_user_timeout` covers what the server has not acknowledged, the keepalives (11 s) a connection that waits.
fn with_limits(database_url: &str, application_name: &str) -> String {
    let mut url = database_url.to_owned();
    for (name, value) in [
        ("connect_timeout", "2"),
        ("tcp_user_timeout", "5000"),
        ("keepalives_idle", "5"),
        ("keepalives_interval", "2"),
        ("keepalives_count", "3"),
        ("application_name", application_name),
    ] {
        if !database_url.contains(&format!("{name}=")) {
            let separator = match (url.contains("://"), url.contains('?')) {
                (false, _) => ' ',
                (true, false) => '?',
                (true, true) => '&',
            };
            url = format!("{url}{separator}{name}={value}");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_added_unless_the_url_sets_them() {
        assert_eq!(
            with_limits("postgres://h/d?connect_timeout=9", "khata"),
            "postgres://h/d?connect_timeout=9&tcp_user_timeout=5000&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&application_name=khata"
        );
        assert_eq!(
            with_limits("host=h keepalives_idle=60", "khata"),
            "host=h keepalives_idle=60 connect_timeout=2 tcp_user_timeout=5000 keepalives_interval=2 keepalives_count=3 application_name=khata"
        );
    }
}
