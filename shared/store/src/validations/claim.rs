//! Claiming: a worker leases a due validation, or lets it wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::column::row;
use crate::statement::{milliseconds, rows, statement, validation_keys};
use khata_domain::routing::Pin;
use khata_domain::traffic::{QueuePlace, Slot};
use khata_domain::{
    AccountId, AccountStatus, Consent, CustomerId, GatewayAccountId, PendingReason, ValidationKey,
};

/// Proof that a worker holds a validation: settling requires it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub Uuid);

row! {
    /// A claimed validation with its account.
    #[derive(Clone, Debug)]
    pub struct Claimed {
        #[diesel(embed)]
        pub key: ValidationKey,
        #[diesel(column_name = account_id)]
        pub account: AccountId,
        pub created_at: DateTime<Utc>,
        /// When the workers give up.
        pub deadline_at: DateTime<Utc>,
        /// W3C trace context of the account's trace.
        pub trace_parent: Option<String>,
        account_status: AccountStatus,
        /// Encrypted for the account's id.
        pub sealed_details: Vec<u8>,
        pinned_gateway_id: Option<i16>,
        pinned_gateway_reference_id: Option<String>,
        consent: Option<serde_json::Value>,
        #[diesel(column_name = customer_id)]
        customer: CustomerId,
        routing_id: Option<String>,
        /// Call a gateway even if a recent result could be reused.
        pub fresh: bool,
        /// A caller waits for the outcome.
        pub awaited: bool,
        /// A gateway webhook arrived since the last claim.
        pub webhook_received: bool,
        /// Steps in a row whose lease expired.
        pub failed_steps: i16,
        /// The gateway account in whose queue it was.
        #[diesel(column_name = queued_gateway_account_id)]
        pub queued_at: Option<GatewayAccountId>,
        /// The call that is booked for this validation.
        #[diesel(embed)]
        pub slot: Option<Slot>,
    }
}

impl Claimed {
    /// Returns the request's `x-routing-id`, or the customer's id if it gave none.
    pub fn routing_id(&self) -> String {
        self.routing_id
            .clone()
            .unwrap_or_else(|| self.customer.to_string())
    }

    /// Whether the merchant has deleted the account since.
    pub fn account_is_deleted(&self) -> bool {
        self.account_status == AccountStatus::Deleted
    }

    /// Returns the gateway that the request named.
    pub fn pin(&self) -> Pin {
        Pin {
            gateway_id: self.pinned_gateway_id,
            reference_id: self.pinned_gateway_reference_id.clone(),
        }
    }

    /// Returns the payee's consent, if the merchant sent proof of it.
    pub fn consent(&self) -> Option<Consent> {
        self.consent
            .clone()
            .and_then(|json| serde_json::from_value(json).ok())
    }
}

/// Columns of a [`Claimed`] validation, of `validations v`.
pub(super) const COLUMNS: &str = "v.merchant_id, v.id as validation_id, v.account_id, v.created_at, v.deadline_at,
    v.trace_parent, v.fresh, v.failed_steps, coalesce(v.awaited_until > now(), false) as awaited,
    v.called_back as webhook_received, v.slot_gateway_account_id, v.slot_at, v.queued_gateway_account_id";

/// Leases the validations that are DUE, for `lease`. Leaves out validations that another worker holds, that wait or that
/// are completed.
pub fn claim(
    connection: &mut PgConnection,
    wanted: &[ValidationKey],
    token: LeaseToken,
    lease: Duration,
) -> QueryResult<Vec<Claimed>> {
    connection.transaction(|connection| {
        let claimed = lock_due(connection, wanted)?;
        let keys: Vec<_> = claimed.iter().map(|claimed| claimed.key).collect();
        self::lease(connection, &keys, token, lease)?;
        Ok(claimed)
    })
}

/// Locks the validations that are DUE until the transaction ends, and reads them. The caller then leases each of them with
/// [`lease()`], or lets it wait with [`postpone`]: a validation that can make no call now costs one update.
pub fn lock_due(
    connection: &mut PgConnection,
    wanted: &[ValidationKey],
) -> QueryResult<Vec<Claimed>> {
    statement(with_accounts(&format!(
        "select {COLUMNS} from $1 as wanted
         join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
         where v.state = 'DUE'
         for update of v skip locked"
    )))
    .rows(validation_keys(wanted))
    .load(connection)
}

/// Returns the statement that reads the validations of `mine` with their accounts.
pub(super) fn with_accounts(mine: &str) -> String {
    // Each step joins two tables by their whole keys. Three tables at once, without statistics, Postgres may join by the
    // merchant alone, and read all of the merchant's rows for each.
    format!(
        "with mine as (
            {mine}
         )
         select mine.*, a.status as account_status, a.sealed_details, a.pinned_gateway_id, a.pinned_gateway_reference_id,
            a.consent, a.customer_id, a.routing_id
         from mine join customer_accounts a on a.merchant_id = mine.merchant_id and a.id = mine.account_id"
    )
}

/// Leases validations that this transaction has locked, for `lease`.
pub fn lease(
    connection: &mut PgConnection,
    locked: &[ValidationKey],
    token: LeaseToken,
    lease: Duration,
) -> QueryResult<()> {
    // The scheduler looks for expired leases among the rows that are due: one from a queue was due much later. The value of
    // the others does not change, so that their claim is a heap-only update.
    statement(
        "update validations v
         set state = 'LEASED', lease_token = $1, leased_until = now() + $2 * interval '1 ms',
            due_at = least(v.due_at, now() + $2 * interval '1 ms'),
            called_back = false, slot_gateway_account_id = null, slot_at = null,
            queued_gateway_account_id = null, queue_rank = null
         from $3 as mine
         where v.merchant_id = mine.merchant_id and v.id = mine.id",
    )
    .bind(token.0)
    .bind(milliseconds(lease))
    .rows(validation_keys(locked))
    .run(connection)
}

/// A validation that makes no call now.
#[derive(Clone, Copy, Debug)]
pub struct Postponement {
    pub key: ValidationKey,
    /// Time from now to the next step.
    pub delay: Duration,
    pub reason: PendingReason,
    /// The call that is booked for the next step.
    pub slot: Option<Slot>,
    /// The place in the queue of a gateway account.
    pub queue: Option<QueuePlace>,
}

/// Lets validations wait that this transaction has locked. One that keeps its place in a queue is not changed.
pub fn postpone(connection: &mut PgConnection, postponements: &[Postponement]) -> QueryResult<()> {
    statement(
        "update validations v
         set state = 'WAITING', due_at = now() + i.delay_ms * interval '1 ms', pending_reason = i.pending_reason,
            called_back = false,
            slot_gateway_account_id = i.slot_gateway_account_id, slot_at = i.slot_at,
            queued_gateway_account_id = i.queued_gateway_account_id, queue_rank = i.queue_rank
         from $1 as i
         where v.merchant_id = i.merchant_id and v.id = i.id
           and (v.state <> 'WAITING' or v.called_back or i.queued_gateway_account_id is null
                or v.queued_gateway_account_id is distinct from i.queued_gateway_account_id
                or v.queue_rank is distinct from i.queue_rank)",
    )
    .rows(rows!(postponements, p => {
        merchant_id = p.key.merchant,
        id = p.key.id,
        delay_ms = milliseconds(p.delay),
        pending_reason = p.reason,
        slot_gateway_account_id = p.slot.map(|slot| slot.gateway_account),
        slot_at = p.slot.map(|slot| slot.at),
        queued_gateway_account_id = p.queue.map(|queue| queue.gateway_account),
        queue_rank = p.queue.map(|queue| queue.rank as i16),
    }))
    .run(connection)
}
