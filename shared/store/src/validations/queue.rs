//! The queues of gateway accounts: validations that wait until the account can take their calls. Waiting costs no polling. A
//! worker whose call has ended claims the next validation, and every scheduler lists the queues, so that a queue goes on after
//! a worker was stopped.

use diesel::prelude::*;
use uuid::Uuid;

use super::claim::{COLUMNS, Claimed, with_accounts};
use crate::column::row;
use crate::statement::{rows, statement};
use khata_domain::gateway::GatewayKey;

row! {
    /// A gateway account for which validations wait.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GatewayQueue {
        #[diesel(embed)]
        pub gateway: GatewayKey,
        /// A caller waits for the outcome of one of them.
        pub awaited: bool,
    }
}

/// Locks the first validations in the queues of these gateway accounts until the transaction ends, at most this many of each,
/// and reads them. Leaves out validations that another transaction has locked. `awaited`: only those that a caller waits for.
pub fn lock_queued(
    connection: &mut PgConnection,
    wanted: &[(GatewayKey, i64)],
    awaited: bool,
) -> QueryResult<Vec<Claimed>> {
    let only = if awaited {
        "and v.queue_rank = 0 and v.awaited_until > now()"
    } else {
        ""
    };
    statement(with_accounts(&format!(
        "select v.* from $1 as wanted cross join lateral (
            select {COLUMNS} from validations v
            where v.merchant_id = wanted.merchant_id and v.queued_gateway_account_id = wanted.gateway_account_id
              and v.completed_at is null and v.state in ('WAITING', 'DUE') {only}
            order by v.queue_rank, v.created_at limit wanted.calls
            for update skip locked
         ) v"
    )))
    .rows(rows!(wanted, (gateway, calls) => {
        merchant_id = gateway.merchant,
        gateway_account_id = gateway.account,
        calls = *calls,
    }))
    .load(connection)
}

/// Returns at most `limit` queues, in order, after this one.
pub fn queues(
    connection: &mut PgConnection,
    after: Option<GatewayKey>,
    limit: i64,
) -> QueryResult<Vec<GatewayQueue>> {
    let (merchant, account) = after.map_or((Uuid::nil(), Uuid::nil()), |after| {
        (after.merchant.0, after.account.0)
    });
    statement(
        "with recursive queue as (
            (select merchant_id, queued_gateway_account_id as account from validations
             where queued_gateway_account_id is not null and completed_at is null
               and (merchant_id, queued_gateway_account_id) > ($1, $2)
             order by merchant_id, queued_gateway_account_id limit 1)
            union all
            select next.* from queue cross join lateral (
                select v.merchant_id, v.queued_gateway_account_id from validations v
                where v.queued_gateway_account_id is not null and v.completed_at is null
                  and (v.merchant_id, v.queued_gateway_account_id) > (queue.merchant_id, queue.account)
                order by v.merchant_id, v.queued_gateway_account_id limit 1
            ) next
         ), listed as (
            select * from queue limit $3
         )
         select merchant_id, account as gateway_account_id,
            exists (
                select 1 from validations v
                where v.merchant_id = listed.merchant_id and v.queued_gateway_account_id = listed.account
                  and v.completed_at is null and v.queue_rank = 0 and v.awaited_until > now()
            ) as awaited
         from listed",
    )
    .bind(merchant)
    .bind(account)
    .bind(limit)
    .load(connection)
}
