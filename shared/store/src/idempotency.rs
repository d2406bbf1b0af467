//! Idempotent calls: the record of a call stands in one transaction with what the call did, so that a repeated call finds
//! either both or neither.
//!
//! A call that waits for an outcome commits its work with a record that has no answer yet, and adds the answer when it has
//! it. If it dies in between, the next call with the same key answers in its place.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::statement::statement;
use khata_domain::{AccountId, MerchantId};

/// A call that carries an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentCall {
    /// Whose.
    pub merchant: MerchantId,
    /// Keyed hash of the key.
    pub key_hash: [u8; 32],
    /// Keyed hash of method, path and body.
    pub request_hash: [u8; 32],
}

/// The form of an answer that is made of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// One account.
    Account,
    /// A list of accounts.
    List,
    /// One account of the deprecated family.
    BankAccount,
}

impl AnswerForm {
    const ALL: [Self; 3] = [Self::Account, Self::List, Self::BankAccount];

    fn as_str(self) -> &'static str {
        match self {
            Self::Account => "ACCOUNT",
            Self::List => "LIST",
            Self::BankAccount => "BANK_ACCOUNT",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == word)
    }
}

/// What is known of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: it is to be carried out. Until the transaction ends nobody else can begin it.
    Nothing,
    /// It was answered with this.
    Answered {
        /// Sealed for the key.
        sealed_answer: Vec<u8>,
    },
    /// The key was used for another call.
    Reused,
    /// It is being carried out.
    Running,
    /// It was carried out and died before it could answer.
    Died {
        /// What it made.
        accounts: Vec<AccountId>,
        /// How it would have answered.
        form: AnswerForm,
    },
    /// The call at this place of the same batch is the same: what becomes of that one becomes of this one.
    SameAs(usize),
}

#[derive(QueryableByName)]
struct LockRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Bool)]
    locked: bool,
}

#[derive(QueryableByName)]
struct RecordRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Binary)]
    request_hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    sealed_answer: Option<Vec<u8>>,
    #[diesel(sql_type = Array<SqlUuid>)]
    account_ids: Vec<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    answer_form: Option<String>,
    #[diesel(sql_type = Bool)]
    running: bool,
}

/// Looks up what is known of these calls, and keeps everybody else from beginning those that are new, until the
/// transaction ends. Never waits: what another transaction holds is running. In a transaction.
pub fn begin(connection: &mut PgConnection, calls: &[&IdempotentCall]) -> QueryResult<Vec<Before>> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let locks: Vec<LockRow> = statement(
        "select wanted.place, pg_try_advisory_xact_lock(wanted.lock) as locked
         from unnest($1::bigint[]) with ordinality as wanted (lock, place)",
    )
    .bind::<Array<BigInt>, _>(calls.iter().map(|call| lock_of(call)).collect::<Vec<_>>())
    .load(connection)?;
    let locked: HashMap<i64, bool> = locks.iter().map(|row| (row.place, row.locked)).collect();
    // A statement of its own: it sees what was committed before the lock was had.
    let records: Vec<RecordRow> = statement(
        "select wanted.place, r.request_hash, r.sealed_answer, r.account_ids, r.answer_form,
            r.running_until > now() as running
         from unnest($1::uuid[], $2::bytea[]) with ordinality as wanted (merchant_id, key_hash, place)
         join idempotency_records r on r.merchant_id = wanted.merchant_id and r.key_hash = wanted.key_hash
         where r.expires_at > now()",
    )
    .bind::<Array<SqlUuid>, _>(calls.iter().map(|call| call.merchant.0).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(calls.iter().map(|call| &call.key_hash[..]).collect::<Vec<_>>())
    .load(connection)?;
    let mut known: HashMap<i64, RecordRow> =
        records.into_iter().map(|row| (row.place, row)).collect();
    let mut first: HashMap<(MerchantId, [u8; 32]), usize> = HashMap::new();
    let mut before = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let place = i64::try_from(index + 1).unwrap_or(i64::MAX);
        before.push(match known.remove(&place) {
            Some(record) => of_record(record, call),
            None if !locked.get(&place).copied().unwrap_or(false) => Before::Running,
            None => match first.get(&(call.merchant, call.key_hash)) {
                None => {
                    first.insert((call.merchant, call.key_hash), index);
                    Before::Nothing
                }
                Some(same) if calls[*same].request_hash == call.request_hash => {
                    Before::SameAs(*same)
                }
                Some(_) => Before::Reused,
            },
        });
    }
    Ok(before)
}

fn of_record(record: RecordRow, call: &IdempotentCall) -> Before {
    if record.request_hash != call.request_hash {
        return Before::Reused;
    }
    if let Some(sealed_answer) = record.sealed_answer {
        return Before::Answered { sealed_answer };
    }
    let form = record.answer_form.as_deref().and_then(AnswerForm::parse);
    match form {
        Some(form) if !record.running => Before::Died {
            accounts: record.account_ids.into_iter().map(AccountId).collect(),
            form,
        },
        _ => Before::Running,
    }
}

/// The number that two transactions with the same call would both lock.
fn lock_of(call: &IdempotentCall) -> i64 {
    let mut bytes = [0u8; 8];
    bytes.copy_from_slice(&call.key_hash[..8]);
    let merchant = call.merchant.0.as_u64_pair().1;
    i64::from_be_bytes(bytes) ^ merchant.cast_signed()
}

/// What is kept of a call that was carried out.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which.
    pub call: IdempotentCall,
    /// Its answer.
    pub answer: Answer,
    /// When it is forgotten.
    pub expires_at: DateTime<Utc>,
}

/// The answer of a call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is known.
    Known {
        /// Sealed for the key.
        sealed: Vec<u8>,
    },
    /// The call waits for an outcome.
    Awaited {
        /// What the call made.
        accounts: Vec<AccountId>,
        /// How it will answer.
        form: AnswerForm,
        /// When it has died, if it has not answered.
        until: DateTime<Utc>,
    },
}

impl Answer {
    fn sealed(&self) -> Option<&[u8]> {
        match self {
            Self::Known { sealed } => Some(sealed),
            Self::Awaited { .. } => None,
        }
    }

    fn account_ids(&self) -> String {
        match self {
            Self::Known { .. } => String::new(),
            Self::Awaited { accounts, .. } => {
                let ids: Vec<String> = accounts.iter().map(|id| id.0.to_string()).collect();
                ids.join(" ")
            }
        }
    }

    fn form(&self) -> Option<&'static str> {
        match self {
            Self::Known { .. } => None,
            Self::Awaited { form, .. } => Some(form.as_str()),
        }
    }
}

/// Keeps the records of calls that [`begin`] found nothing of. In the transaction of the work.
pub fn insert(connection: &mut PgConnection, records: &[Record]) -> QueryResult<()> {
    if records.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($row:pat => $value:expr) => {
            records.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    // In one order everywhere is not needed: each key is held by this transaction alone.
    statement(
        "insert into idempotency_records (merchant_id, key_hash, request_hash, sealed_answer, account_ids,
            answer_form, running_until, expires_at)
         select merchant_id, key_hash, request_hash, sealed_answer, string_to_array(account_ids, ' ')::uuid[],
            answer_form, running_until, expires_at
         from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[]) as t (merchant_id, key_hash, request_hash, sealed_answer, account_ids, answer_form,
            running_until, expires_at)
         on conflict (merchant_id, key_hash) do update
         set request_hash = excluded.request_hash, sealed_answer = excluded.sealed_answer,
            account_ids = excluded.account_ids, answer_form = excluded.answer_form,
            running_until = excluded.running_until, expires_at = excluded.expires_at",
    )
    .bind::<Array<SqlUuid>, _>(column!(record => record.call.merchant.0))
    .bind::<Array<Binary>, _>(column!(record => &record.call.key_hash[..]))
    .bind::<Array<Binary>, _>(column!(record => &record.call.request_hash[..]))
    .bind::<Array<Nullable<Binary>>, _>(column!(record => record.answer.sealed()))
    .bind::<Array<Text>, _>(column!(record => record.answer.account_ids()))
    .bind::<Array<Nullable<Text>>, _>(column!(record => record.answer.form()))
    .bind::<Array<Timestamptz>, _>(column!(record => match record.answer {
        Answer::Known { .. } => record.expires_at,
        Answer::Awaited { until, .. } => until,
    }))
    .bind::<Array<Timestamptz>, _>(column!(record => record.expires_at))
    .execute(connection)
    .map(drop)
}

#[derive(QueryableByName)]
struct AnswerRow {
    #[diesel(sql_type = Binary)]
    sealed_answer: Vec<u8>,
}

/// Adds the answer of a call that waited; answers what stands there then: another call may have been first. `None` if the
/// record is gone.
pub fn answer(
    connection: &mut PgConnection,
    call: &IdempotentCall,
    sealed: &[u8],
) -> QueryResult<Option<Vec<u8>>> {
    let row: Option<AnswerRow> = statement(
        "update idempotency_records set sealed_answer = coalesce(sealed_answer, $1)
         where merchant_id = $2 and key_hash = $3 and request_hash = $4 returning sealed_answer",
    )
    .bind::<Binary, _>(sealed)
    .bind::<SqlUuid, _>(call.merchant.0)
    .bind::<Binary, _>(&call.key_hash[..])
    .bind::<Binary, _>(&call.request_hash[..])
    .get_result(connection)
    .optional()?;
    Ok(row.map(|row| row.sealed_answer))
}

/// Forgets records whose time is over, at most `limit`; answers how many.
pub fn forget(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    statement(
        "delete from idempotency_records where (merchant_id, key_hash) in (
            select merchant_id, key_hash from idempotency_records
            where expires_at < now() order by expires_at limit $1 for update skip locked)",
    )
    .bind::<BigInt, _>(limit)
    .execute(connection)
}
