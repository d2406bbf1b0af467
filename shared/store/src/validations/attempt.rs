//! Attempts: one row a call that may be made, written before it is.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::{ids, merchants};
use crate::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::validation::AttemptState;
use khata_domain::{Class, GatewayAccountId, MerchantId, Method, ValidationId};

/// An attempt as it stands.
#[derive(Clone, Debug, QueryableByName)]
pub struct Attempt {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    validation_id: Uuid,
    /// 1 for the first.
    #[diesel(sql_type = SmallInt)]
    pub number: i16,
    #[diesel(sql_type = SqlUuid)]
    gateway_account_id: Uuid,
    /// At which gateway.
    #[diesel(sql_type = SmallInt)]
    pub gateway_id: i16,
    #[diesel(sql_type = Text)]
    method: String,
    /// Ours, at the gateway.
    #[diesel(sql_type = Text)]
    pub reference: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    class: Option<String>,
    /// The gateway's own word, or ours for its silence.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    /// The gateway's id for the call.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference: Option<String>,
    /// Looks made at it.
    #[diesel(sql_type = SmallInt)]
    pub polls: i16,
    /// When it was written down.
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
}

impl Attempt {
    /// Whom it asked.
    pub fn gateway_account(&self) -> GatewayAccountId {
        GatewayAccountId(self.gateway_account_id)
    }

    /// How it asked; a penny drop if the row names none we know, as that is the careful reading.
    pub fn method(&self) -> Method {
        Method::parse(&self.method).unwrap_or(Method::PennyDrop)
    }

    /// How far it came.
    pub fn state(&self) -> AttemptState {
        AttemptState::parse(&self.state).unwrap_or(AttemptState::Unknown)
    }

    /// What came of it.
    pub fn class(&self) -> Option<Class> {
        self.class.as_deref().and_then(Class::parse)
    }
}

/// All attempts of these validations, in order of number.
pub fn attempts(
    connection: &mut PgConnection,
    keys: &[ValidationKey],
) -> QueryResult<HashMap<ValidationKey, Vec<Attempt>>> {
    let rows: Vec<Attempt> = statement(
        "select t.merchant_id, t.validation_id, t.number, t.gateway_account_id, t.gateway_id, t.method, t.reference,
            t.state, t.class, t.code, t.gateway_reference, t.polls, t.started_at
         from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
         join validation_attempts t on t.merchant_id = wanted.merchant_id and t.validation_id = wanted.id
         order by t.merchant_id, t.validation_id, t.number",
    )
    .bind::<Array<SqlUuid>, _>(merchants(keys))
    .bind::<Array<SqlUuid>, _>(ids(keys))
    .load(connection)?;
    let mut by_validation: HashMap<ValidationKey, Vec<Attempt>> = HashMap::new();
    for row in rows {
        let key = ValidationKey {
            merchant: MerchantId(row.merchant_id),
            id: ValidationId(row.validation_id),
        };
        by_validation.entry(key).or_default().push(row);
    }
    Ok(by_validation)
}

/// An attempt about to be made.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Of which validation.
    pub key: ValidationKey,
    /// 1 for the first.
    pub number: i16,
    /// Whom it asks.
    pub gateway_account: GatewayAccountId,
    /// At which gateway.
    pub gateway_id: i16,
    /// How.
    pub method: Method,
    /// Our reference at the gateway.
    pub reference: String,
    /// Why the routing chose it.
    pub choice: String,
    /// Whether the attempt before may have dropped its rupee unseen.
    pub possible_double_drop: bool,
}

/// Writes attempts down, before their calls are made.
pub fn insert_attempts(connection: &mut PgConnection, attempts: &[NewAttempt]) -> QueryResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    statement(
        "insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method,
            reference, choice, possible_double_drop, state)
         select *, 'STARTED' from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::smallint[],
            $6::text[], $7::text[], $8::text[], $9::bool[])",
    )
    .bind::<Array<SqlUuid>, _>(attempts.iter().map(|a| a.key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(attempts.iter().map(|a| a.key.id.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(attempts.iter().map(|a| a.number).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(attempts.iter().map(|a| a.gateway_account.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(attempts.iter().map(|a| a.gateway_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(attempts.iter().map(|a| a.method.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(attempts.iter().map(|a| a.reference.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(attempts.iter().map(|a| a.choice.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(attempts.iter().map(|a| a.possible_double_drop).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}

/// Gives up attempts whose answers are lost and cannot be looked up.
pub fn give_up_attempts(
    connection: &mut PgConnection,
    lost: &[(ValidationKey, i16)],
) -> QueryResult<()> {
    if lost.is_empty() {
        return Ok(());
    }
    statement(
        "update validation_attempts t
         set state = 'SETTLED', class = 'RETRYABLE', code = lost.code, settled_at = now()
         from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[]) as lost (merchant_id, validation_id, number, code)
         where t.merchant_id = lost.merchant_id and t.validation_id = lost.validation_id and t.number = lost.number
           and t.state <> 'SETTLED'",
    )
    .bind::<Array<SqlUuid>, _>(lost.iter().map(|(key, _)| key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lost.iter().map(|(key, _)| key.id.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(lost.iter().map(|(_, number)| *number).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lost.iter().map(|_| khata_domain::gateway::RESPONSE_LOST).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}
