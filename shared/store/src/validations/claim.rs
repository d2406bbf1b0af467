//! Claiming: a worker leases a due validation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::column::row;
use crate::statement::{milliseconds, statement, validation_keys};
use khata_domain::routing::Pin;
use khata_domain::traffic::Slot;
use khata_domain::{
    AccountId, AccountStatus, Consent, CustomerId, GatewayAccountId, ValidationKey,
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

/// Leases the validations that are DUE, for `lease`. Leaves out validations that another worker holds, that wait or that
/// are completed.
pub fn claim(
    connection: &mut PgConnection,
    wanted: &[ValidationKey],
    token: LeaseToken,
    lease: Duration,
) -> QueryResult<Vec<Claimed>> {
    statement(leased(
        "select v.merchant_id, v.id, v.called_back, v.slot_gateway_account_id, v.slot_at, v.queued_gateway_account_id
         from $1 as wanted
         join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
         where v.state = 'DUE'
         for update of v skip locked",
        2,
    ))
    .rows(validation_keys(wanted))
    .bind(token.0)
    .bind(milliseconds(lease))
    .load(connection)
}

/// Returns the statement that leases the validations of `mine`. Its next parameters, from this number on, are the token and the
/// lease.
pub(super) fn leased(mine: &str, token: usize) -> String {
    let lease = token + 1;
    // Each step joins two tables by their whole keys. Three tables at once, without statistics, Postgres may join by the
    // merchant alone, and read all of the merchant's rows for each.
    format!(
        "with mine as (
            {mine}
         ), leased as (
            update validations v
            set state = 'LEASED', lease_token = ${token}, leased_until = now() + ${lease} * interval '1 ms',
                called_back = false, slot_gateway_account_id = null, slot_at = null,
                queued_gateway_account_id = null, queue_rank = null
            from mine
            where v.merchant_id = mine.merchant_id and v.id = mine.id
            returning v.merchant_id, v.id as validation_id, v.account_id, v.created_at, v.deadline_at, v.trace_parent,
                v.fresh, v.failed_steps, coalesce(v.awaited_until > now(), false) as awaited,
                mine.called_back as webhook_received, mine.slot_gateway_account_id, mine.slot_at,
                mine.queued_gateway_account_id
         )
         select leased.*, a.status as account_status, a.sealed_details, a.pinned_gateway_id, a.pinned_gateway_reference_id,
            a.consent, a.customer_id, a.routing_id
         from leased join customer_accounts a on a.merchant_id = leased.merchant_id and a.id = leased.account_id"
    )
}
