//! Walks through the attempts of a merchant, page by page, the newest first.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_store::doctor::{self, Page, Table};
use khata_store::merchants::Merchant;
use khata_store::penny_drops::validations_between;

/// Attempts that one statement reads.
const PAGE: i64 = 10_000;

/// Walks through the pages that may have attempts which began between these times, until `act` returns `false`. Run
/// [`doctor::prepare`] before.
pub(crate) fn walk(
    connection: &mut PgConnection,
    merchant: &Merchant,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    mut act: impl FnMut(&mut PgConnection, Page) -> QueryResult<bool>,
) -> QueryResult<()> {
    let (oldest, mut before) = validations_between(merchant, since, until);
    while before > oldest {
        let page = doctor::page(connection, Table::Attempts, merchant.id, before, PAGE)?;
        let Some(page) = page else { break };
        if !act(connection, page)? {
            break;
        }
        before = page.from;
    }
    Ok(())
}
