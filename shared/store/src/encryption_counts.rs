//! Numbers of encryptions with each encryption key, over all processes and restarts. AES-GCM with random nonces permits 2³² for
//! one key (NIST SP 800-38D).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::{PgConnection, QueryResult};
use khata_crypto::Keyring;

use super::statement::statement;

/// Least number of encryptions that a process counts in advance. An idle process writes nothing.
const RESERVE: u64 = 20_000;

/// Counts the encryptions of this process.
#[derive(Debug)]
pub struct EncryptionCounter {
    keyring: Arc<Keyring>,
    /// Number that the database holds for this process.
    counted: AtomicU64,
    /// Number of encryptions at the last call.
    used: AtomicU64,
}

impl EncryptionCounter {
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            counted: AtomicU64::new(0),
            used: AtomicU64::new(0),
        }
    }

    /// Stores the number with a reserve for the time until the next call, so that the database holds at least the true number
    /// when the process is killed: twice as much as was used since the last call. Call it every few seconds, never twice at once.
    pub fn store(&self, connection: &mut PgConnection) -> QueryResult<()> {
        let used = self.keyring.encryptions();
        let reserve = RESERVE.max(2 * (used - self.used.load(Ordering::Relaxed)));
        if self.counted.load(Ordering::Relaxed) < used + reserve / 2 {
            self.count(connection, used + reserve)?;
        }
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }

    /// Stores the number when the process stops, if it is more than was counted in advance.
    pub fn store_last(&self, connection: &mut PgConnection) -> QueryResult<()> {
        self.count(connection, self.keyring.encryptions())
    }

    fn count(&self, connection: &mut PgConnection, wanted: u64) -> QueryResult<()> {
        let counted = self.counted.load(Ordering::Relaxed);
        if wanted > counted {
            add(connection, self.keyring.primary(), wanted - counted)?;
            self.counted.store(wanted, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Adds encryptions with this key. Commands, which encrypt little or in their own transactions, call it directly.
pub fn add(connection: &mut PgConnection, key: u32, encryptions: u64) -> QueryResult<()> {
    statement(
        "insert into encryption_counts as c (key_id, encryptions) values ($1, $2)
         on conflict (key_id) do update set encryptions = c.encryptions + excluded.encryptions",
    )
    .bind(i64::from(key))
    .bind(i64::try_from(encryptions).unwrap_or(i64::MAX))
    .run(connection)
}

/// Reads the number of encryptions by key.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<(i64, i64)>> {
    statement("select key_id, encryptions from encryption_counts order by key_id")
        .tuples(connection)
}
