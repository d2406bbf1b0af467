//! The write path: creates of many callers, one transaction.

use diesel::{PgConnection, QueryResult};
use khata_shared::batch::Commit;
use khata_shared::store::accounts::{self, CreateAccounts, Created};

pub(crate) struct Creates;

impl Commit for Creates {
    type Request = CreateAccounts;
    type Answer = Created;

    fn weight(&self, request: &CreateAccounts) -> usize {
        request.accounts.len()
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        requests: &[CreateAccounts],
    ) -> QueryResult<Vec<Created>> {
        accounts::create(connection, requests)
    }
}
