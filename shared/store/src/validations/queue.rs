//! The queues of gateway accounts: validations that wait until the account can take their calls. Waiting costs no polling. A
//! worker whose call has ended claims the next validation, and every scheduler lists the queues, so that a queue goes on after
//! a worker was stopped.

use std::time::Duration;

use diesel::prelude::*;
use uuid::Uuid;

use super::claim::{Claimed, LeaseToken, leased};
use crate::column::row;
use crate::statement::{milliseconds, rows, statement};
use khata_domain::gateway::GatewayKey;

row! {
    /// A gateway account for which validations wait.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GatewayQueue {
        #[diesel(embed)]
        pub gateway: GatewayKey,
        /// A caller waits for the outcome of the first one.
        pub awaited: bool,
    }
}

/// Leases the first validations in the queues of these gateway accounts, at most this many of each. Leaves out validations
/// that another transaction has locked.
pub fn claim_queued(
    connection: &mut PgConnection,
    wanted: &[(GatewayKey, i64)],
    token: LeaseToken,
    lease: Duration,
) -> QueryResult<Vec<Claimed>> {
    statement(leased(
        "select v.* from $1 as wanted cross join lateral (
            select v.merchant_id, v.id, v.called_back, v.slot_gateway_account_id, v.slot_at, v.queued_gateway_account_id
            from validations v
            where v.merchant_id = wanted.merchant_id and v.queued_gateway_account_id = wanted.gateway_account_id
              and v.state in ('WAITING', 'DUE')
            order by v.queue_rank, v.created_at limit wanted.calls
            for update skip locked
         ) v",
        2,
    ))
    .rows(rows!(wanted, (gateway, calls) => {
        merchant_id = gateway.merchant,
        gateway_account_id = gateway.account,
        calls = *calls,
    }))
    .bind(token.0)
    .bind(milliseconds(lease))
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
            (select merchant_id, queued_gateway_account_id as account, queue_rank, awaited_until from validations
             where queued_gateway_account_id is not null and (merchant_id, queued_gateway_account_id) > ($1, $2)
             order by merchant_id, queued_gateway_account_id, queue_rank limit 1)
            union all
            select next.* from queue cross join lateral (
                select v.merchant_id, v.queued_gateway_account_id, v.queue_rank, v.awaited_until from validations v
                where v.queued_gateway_account_id is not null
                  and (v.merchant_id, v.queued_gateway_account_id) > (queue.merchant_id, queue.account)
                order by v.merchant_id, v.queued_gateway_account_id, v.queue_rank limit 1
            ) next
         )
         select merchant_id, account as gateway_account_id, coalesce(queue_rank = 0 and awaited_until > now(), false) as awaited
         from queue limit $3",
    )
    .bind(merchant)
    .bind(account)
    .bind(limit)
    .load(connection)
}
