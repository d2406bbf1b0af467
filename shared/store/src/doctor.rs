//! Checks of a live database: finds the rows that break what Khata promises. Reads only. Each statement reads a bounded number of rows of
//! one merchant, and compares rows of one moment only, so that work in progress is no finding.

mod drops;
mod events;
mod finding;
mod open;
mod payments;
mod walk;

pub use drops::{Drops, DropsByDay};
pub use events::{EventCount, clock_is_of_another_cluster};
pub use finding::{Found, Rule};
pub use open::{expired_leases, overdue_deliveries, overdue_validations, set_aside};
pub use payments::{Payment, attempts_by_reference, payments};
pub use walk::{Page, Table, check, page};

use diesel::PgConnection;
use diesel::QueryResult;
use diesel::connection::SimpleConnection;

/// Makes the connection one that only reads, by lookups of whole keys: a database that was just restored has no statistics, and Postgres
/// may then read whole tables.
pub fn prepare(connection: &mut PgConnection) -> QueryResult<()> {
    connection.batch_execute(
        "set default_transaction_read_only = on; set lock_timeout = '2s'; set enable_seqscan = off; set enable_hashjoin = off; \
         set enable_mergejoin = off; set enable_bitmapscan = off; set jit = off",
    )
}
