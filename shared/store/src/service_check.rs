//! Checks of a service's settings by the database, before the service says that it is ready: that the schema is current, that its role has
//! the rights of the service, and that its keyring decrypts what is stored. The database may be away when the service starts, so that
//! the check is repeated until it has passed once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::{PgConnection, QueryResult, RunQueryDsl};
use khata_crypto::Keyring;
use tracing::warn;

use crate::migrate::pending_migrations;
use crate::pool::Pool;
use crate::rights::{Service, missing_rights};
use crate::rotation::undecryptable_keys;

/// Time between two checks, until one has passed.
const INTERVAL: Duration = Duration::from_millis(500);

/// The words of [`Checked::words`] while Postgres is away.
pub const UNKNOWN: [&str; 3] = ["unknown"; 3];

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The service can work. Not checked again.
    Passed,
    /// `khata migrate` has not run yet.
    SchemaBehind,
    /// Rights that the role of the connection lacks, such as `insert on customers`.
    MissingRights(Vec<String>),
    /// Ids of keys of stored values that the keyring does not decrypt.
    WrongKeyring(BTreeSet<u32>),
}

/// The keyring does not decrypt what is stored: the service must not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the keyring cannot decrypt the data in this database (encryption {0}): it is another database's keyring, or lacks a key. Start \
     the service with the right keyring; `khata keyring show` counts the values of each key"
)]
pub struct WrongKeyringError(String);

/// The check of one service, with its last result.
pub struct ServiceCheck {
    service: Service,
    keyring: Arc<Keyring>,
    last: Mutex<Option<Checked>>,
}

impl Checked {
    /// Returns the state of schema, rights and keyring for `/health/ready`, where a later one is unknown until the earlier is right.
    pub fn words(&self) -> [&'static str; 3] {
        match self {
            Self::Passed => ["current", "granted", "right"],
            Self::SchemaBehind => ["behind: run `khata migrate`", "unknown", "unknown"],
            Self::MissingRights(_) => ["current", "missing: see the log", "unknown"],
            Self::WrongKeyring(_) => ["current", "granted", "wrong"],
        }
    }
}

impl ServiceCheck {
    pub fn new(service: Service, keyring: Arc<Keyring>) -> Self {
        Self {
            service,
            keyring,
            last: Mutex::new(None),
        }
    }

    /// Checks, or only tries the connection if a check has passed. Logs a result other than the last one.
    pub fn run(&self, connection: &mut PgConnection) -> QueryResult<Checked> {
        let last = self.last();
        if last == Some(Checked::Passed) {
            diesel::sql_query("select 1").execute(connection)?;
            return Ok(Checked::Passed);
        }
        let checked = self.check(connection)?;
        if last.as_ref() != Some(&checked) {
            self.log(&checked);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(checked.clone());
        Ok(checked)
    }

    fn check(&self, connection: &mut PgConnection) -> QueryResult<Checked> {
        if pending_migrations(connection)? > 0 {
            return Ok(Checked::SchemaBehind);
        }
        let missing = missing_rights(connection, self.service)?;
        if !missing.is_empty() {
            return Ok(Checked::MissingRights(missing));
        }
        let keys = undecryptable_keys(connection, &self.keyring)?;
        if !keys.is_empty() {
            return Ok(Checked::WrongKeyring(keys));
        }
        Ok(Checked::Passed)
    }

    fn last(&self) -> Option<Checked> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    fn log(&self, checked: &Checked) {
        match checked {
            Checked::SchemaBehind => warn!("not ready: the schema is behind; run `khata migrate`"),
            Checked::MissingRights(missing) => warn!(
                missing = missing.join(", "),
                "not ready: the role in KHATA_DATABASE_URL lacks rights; set the URL of the role {}, and run `khata migrate`, which grants \
                 its rights",
                self.service.role()
            ),
            // The keyring ends the process, which says why.
            Checked::WrongKeyring(_) | Checked::Passed => {}
        }
    }

    /// Checks again and again until a check has passed. An error says that the service must end.
    pub async fn wait(self: &Arc<Self>, pool: &Pool) -> Result<(), WrongKeyringError> {
        loop {
            let (check, pool) = (Arc::clone(self), pool.clone());
            // A failure is the database's: the next check follows, and the other parts log what they cannot do.
            let _ = tokio::task::spawn_blocking(move || {
                let mut connection = pool.get().ok()?;
                check.run(&mut connection).ok()
            })
            .await;
            match self.last() {
                Some(Checked::Passed) => return Ok(()),
                Some(Checked::WrongKeyring(keys)) => return Err(wrong_keyring(&keys)),
                _ => tokio::time::sleep(INTERVAL).await,
            }
        }
    }
}

fn wrong_keyring(keys: &BTreeSet<u32>) -> WrongKeyringError {
    let word = if keys.len() == 1 { "key" } else { "keys" };
    let keys: Vec<String> = keys.iter().map(u32::to_string).collect();
    WrongKeyringError(format!("{word} {}", keys.join(", ")))
}
