//! Claiming: a validation under a lease is in one worker's hand.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::{LeaseToken, ids, merchants};
use crate::milliseconds;
use crate::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::routing::Pin;
use khata_domain::traffic::Slot;
use khata_domain::{
    AccountId, AccountStatus, CustomerId, GatewayAccountId, MerchantId, ValidationId,
};

/// A claimed validation and the account it is about.
#[derive(Clone, Debug, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    /// When it was asked for.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When trying ends.
    #[diesel(sql_type = Timestamptz)]
    pub deadline_at: DateTime<Utc>,
    /// W3C trace context of the account's trace.
    #[diesel(sql_type = Nullable<Text>)]
    pub trace_parent: Option<String>,
    #[diesel(sql_type = Text)]
    account_status: String,
    /// Sealed for the account's id.
    #[diesel(sql_type = Binary)]
    pub sealed_details: Vec<u8>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pinned_gateway_id: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    pinned_gateway_reference_id: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    consent: Option<serde_json::Value>,
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    routing_id: Option<String>,
    /// A gateway is to be asked, however young an earlier result is.
    #[diesel(sql_type = Bool)]
    pub fresh: bool,
    /// A gateway has called back since the validation was last claimed.
    #[diesel(sql_type = Bool)]
    pub webhook_received: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    slot_gateway_account_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    slot_at: Option<DateTime<Utc>>,
}

impl Claimed {
    /// The call that is booked for it.
    pub fn slot(&self) -> Option<Slot> {
        Some(Slot {
            gateway_account: GatewayAccountId(self.slot_gateway_account_id?),
            at: self.slot_at?,
        })
    }

    /// Its key.
    pub fn key(&self) -> ValidationKey {
        ValidationKey {
            merchant: MerchantId(self.merchant_id),
            id: ValidationId(self.id),
        }
    }

    /// The account it is about.
    pub fn account(&self) -> AccountId {
        AccountId(self.account_id)
    }

    /// `x-routing-id` of the call; where it gave none, the customer's id stands in.
    pub fn routing_id(&self) -> String {
        self.routing_id
            .clone()
            .unwrap_or_else(|| CustomerId(self.customer_id).to_string())
    }

    /// Whether the account was deleted meanwhile.
    pub fn account_is_deleted(&self) -> bool {
        self.account_status == AccountStatus::Deleted.as_str()
    }

    /// What the call asked of the routing.
    pub fn pin(&self) -> Pin {
        Pin {
            gateway_id: self.pinned_gateway_id,
            reference_id: self.pinned_gateway_reference_id.clone(),
        }
    }

    /// The payee's consent, where the merchant sent proof of it.
    pub fn consent(&self) -> Option<khata_domain::Consent> {
        self.consent
            .clone()
            .and_then(|json| serde_json::from_value(json).ok())
    }
}

/// Leases those of the wanted validations that are DUE, for `lease`. What another worker holds, waits or is completed
/// is left out of the answer.
pub fn claim(
    connection: &mut PgConnection,
    wanted: &[ValidationKey],
    token: LeaseToken,
    lease: Duration,
) -> QueryResult<Vec<Claimed>> {
    statement(
        "with mine as (
            select v.merchant_id, v.id, v.webhook_received, v.slot_gateway_account_id, v.slot_at
            from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
            join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
            where v.state = 'DUE'
            for update of v skip locked
         )
         update validations v
         set state = 'LEASED', lease_token = $3, leased_until = now() + $4 * interval '1 ms',
            webhook_received = false, slot_gateway_account_id = null, slot_at = null
         from mine, customer_accounts a
         where v.merchant_id = mine.merchant_id and v.id = mine.id
           and a.merchant_id = v.merchant_id and a.id = v.account_id
         returning v.merchant_id, v.id, v.account_id, v.created_at, v.deadline_at, v.trace_parent, a.status as account_status,
            a.sealed_details, a.pinned_gateway_id, a.pinned_gateway_reference_id, a.consent,
            a.customer_id, a.routing_id, v.fresh, mine.webhook_received, mine.slot_gateway_account_id, mine.slot_at",
    )
    .bind::<Array<SqlUuid>, _>(merchants(wanted))
    .bind::<Array<SqlUuid>, _>(ids(wanted))
    .bind::<SqlUuid, _>(token.0)
    .bind::<BigInt, _>(milliseconds(lease))
    .load(connection)
}
