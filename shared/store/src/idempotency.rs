//! Idempotent calls: the record of a call and the work of the call are committed in one transaction, so that a repeated call
//! finds either both or neither.
//!
//! The record of a call that creates accounts names only their ids: the reply shows the accounts as the call created them, so
//! that the call and the rows give it again. A call whose reply shows other things commits a record without a reply and adds
//! the reply afterwards: a call that waits for an outcome when the outcome is known, a call that finds existing accounts when
//! it has read them. If the process stops before that, the next call with the same key replies in its place.

use std::collections::HashMap;

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::column::{Column, row};
use super::locks::{Lock, try_lock};
use super::statement::{rows, statement};
use khata_domain::{AccountId, MerchantId, words};

/// A call with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentCall {
    pub merchant: MerchantId,
    /// Keyed hash of the key.
    pub key_hash: [u8; 32],
    /// Keyed hash of method, path and body.
    pub request_hash: [u8; 32],
}

words! {
    /// Shape of a reply that presents accounts. The API chooses and presents it; the store keeps the word.
    ReplyForm {
        Account = "ACCOUNT",
        List = "LIST",
        BankAccount = "BANK_ACCOUNT",
    }
}

impl Column for ReplyForm {
    type Sql = Text;
}

/// The record of an earlier call with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriorCall {
    /// There is none: carry out the call. No other transaction can begin it before this one ends.
    None,
    /// The call has its reply.
    Replied {
        /// Encrypted for the key.
        sealed_reply: Vec<u8>,
    },
    /// The call created these accounts, all of them; its reply shows them as they were then.
    Created { accounts: Vec<AccountId> },
    /// The key belongs to another call.
    KeyReused,
    /// The call is running.
    Running,
    /// The call was carried out, and its process stopped before it could record the reply.
    Interrupted {
        /// The accounts that the call created or changed.
        accounts: Vec<AccountId>,
        form: ReplyForm,
    },
    /// The call at this index of the same batch is the same and decides both.
    SameAs(usize),
}

row! {
    struct RecordRow {
        place: i64,
        request_hash: Vec<u8>,
        sealed_answer: Option<Vec<u8>>,
        account_ids: Vec<AccountId>,
        answer_form: Option<ReplyForm>,
        as_created: bool,
        running: bool,
    }
}

/// Finds the records of these calls, and locks out other transactions from beginning the new ones until this one ends. Never
/// waits: a call that another transaction holds is running. Call it in a transaction.
pub fn begin(
    connection: &mut PgConnection,
    calls: &[&IdempotentCall],
) -> QueryResult<Vec<PriorCall>> {
    let locked = try_lock(connection, calls.iter().map(|call| lock_of(call)).collect())?;
    // A statement of its own, which sees what was committed before the lock was taken.
    let records: Vec<RecordRow> = statement(
        "select wanted.place, r.request_hash, r.sealed_answer, r.account_ids, r.answer_form,
            r.as_created, r.running_until > now() as running
         from $1 as wanted
         join idempotency_records r on r.merchant_id = wanted.merchant_id and r.key_hash = wanted.key_hash
         where r.expires_at > now()",
    )
    .rows(
        rows!(calls, call => {
            merchant_id = call.merchant,
            key_hash = call.key_hash.as_slice(),
        })
        .numbered(),
    )
    .load(connection)?;
    let mut known: HashMap<i64, RecordRow> =
        records.into_iter().map(|row| (row.place, row)).collect();
    let mut first: HashMap<(MerchantId, [u8; 32]), usize> = HashMap::new();
    let mut prior = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let place = i64::try_from(index + 1).unwrap_or(i64::MAX);
        prior.push(match known.remove(&place) {
            Some(record) => of_record(record, call),
            None if !locked.contains(&lock_of(call)) => PriorCall::Running,
            None => match first.get(&(call.merchant, call.key_hash)) {
                None => {
                    first.insert((call.merchant, call.key_hash), index);
                    PriorCall::None
                }
                Some(same) if calls[*same].request_hash == call.request_hash => {
                    PriorCall::SameAs(*same)
                }
                Some(_) => PriorCall::KeyReused,
            },
        });
    }
    Ok(prior)
}

fn of_record(record: RecordRow, call: &IdempotentCall) -> PriorCall {
    if record.request_hash != call.request_hash {
        return PriorCall::KeyReused;
    }
    match (record.sealed_answer, record.answer_form) {
        (Some(sealed_reply), _) => PriorCall::Replied { sealed_reply },
        (None, _) if record.as_created => PriorCall::Created {
            accounts: record.account_ids,
        },
        (None, Some(form)) if !record.running => PriorCall::Interrupted {
            accounts: record.account_ids,
            form,
        },
        (None, _) => PriorCall::Running,
    }
}

/// Returns the advisory lock of a call: the same for the same merchant and key.
fn lock_of(call: &IdempotentCall) -> i64 {
    let random = call.key_hash.first_chunk().unwrap_or(&[0; 8]);
    Lock::Call.of(call.merchant, *random)
}

/// The record of a call that was carried out.
#[derive(Clone, Debug)]
pub struct Record {
    pub call: IdempotentCall,
    pub reply: Reply,
}

/// The reply of a call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The reply is known.
    Ready {
        /// Encrypted for the key.
        sealed: Vec<u8>,
    },
    /// The reply shows accounts that the call created, all of them new, as they are created.
    Created {
        accounts: Vec<AccountId>,
        form: ReplyForm,
    },
    /// The reply is added after the commit.
    Awaited {
        /// The accounts that the call created or changed.
        accounts: Vec<AccountId>,
        form: ReplyForm,
        /// Time after which the call counts as interrupted if it has not replied.
        wait: TimeDelta,
    },
}

/// Stores the records of calls that [`begin`] found new, for 24 hours. Call it in the transaction of the work.
pub fn insert(connection: &mut PgConnection, records: &[Record]) -> QueryResult<()> {
    let ids = |accounts: &[AccountId]| {
        let ids: Vec<String> = accounts.iter().map(|id| id.0.to_string()).collect();
        ids.join(" ")
    };
    let rows: Vec<_> = records
        .iter()
        .map(|record| match &record.reply {
            Reply::Ready { sealed } => {
                let sealed = Some(sealed.as_slice());
                (record, sealed, String::new(), None, TimeDelta::zero())
            }
            Reply::Created { accounts, form } => {
                let form = Some(*form);
                // Not running: a service that does not know `as_created` shows the accounts' current state.
                (record, None, ids(accounts), form, TimeDelta::zero())
            }
            Reply::Awaited {
                accounts,
                form,
                wait,
            } => (record, None, ids(accounts), Some(*form), *wait),
        })
        .collect();
    // The order does not matter: this transaction alone holds each key.
    statement(format!(
        "with record as (
         insert into idempotency_records (merchant_id, key_hash, request_hash, sealed_answer, account_ids,
            answer_form, as_created, running_until, expires_at)
         select merchant_id, key_hash, request_hash, sealed_answer, string_to_array(account_ids, ' ')::uuid[],
            answer_form, as_created, now() + running_ms * interval '1 ms', now() + interval '24 hours'
         from $1 as input
         on conflict (merchant_id, key_hash) do update
         set request_hash = excluded.request_hash, sealed_answer = excluded.sealed_answer,
            account_ids = excluded.account_ids, answer_form = excluded.answer_form,
            as_created = excluded.as_created, running_until = excluded.running_until,
            expires_at = excluded.expires_at
         returning merchant_id, sealed_answer
         ), stored as (
            select merchant_id, octet_length(sealed_answer) as bytes from record where sealed_answer is not null
         )
         {COUNT}",
    ))
    .rows(rows!(&rows, (record, sealed, accounts, form, running) => {
        merchant_id = record.call.merchant,
        key_hash = record.call.key_hash.as_slice(),
        request_hash = record.call.request_hash.as_slice(),
        sealed_answer = *sealed,
        account_ids = accounts.as_str(),
        answer_form = *form,
        as_created = matches!(record.reply, Reply::Created { .. }),
        running_ms = running.num_milliseconds(),
    }))
    .run(connection)
}

/// Counts the bytes of the replies of `stored`, which has the columns `merchant_id` and `bytes`.
const COUNT: &str = "insert into idempotency_usage (merchant_id, hour, slot, bytes)
     select merchant_id, date_trunc('hour', now(), 'UTC'), pg_backend_pid(), sum(bytes) from stored
     group by merchant_id order by merchant_id
     on conflict (merchant_id, hour, slot) do update set bytes = idempotency_usage.bytes + excluded.bytes";

/// Adds the reply of a call that committed without one, and returns the stored reply: another call may have added one first.
/// `None` if the record is gone.
pub fn add_reply(
    connection: &mut PgConnection,
    call: &IdempotentCall,
    sealed: &[u8],
) -> QueryResult<Option<Vec<u8>>> {
    statement(format!(
        "with record as (
            update idempotency_records set sealed_answer = coalesce(sealed_answer, $1)
            where merchant_id = $2 and key_hash = $3 and request_hash = $4 returning merchant_id, sealed_answer
         ), stored as (
            select merchant_id, octet_length(sealed_answer) as bytes from record where sealed_answer = $1
         ), counted as (
            {COUNT}
         )
         select sealed_answer from record"
    ))
    .bind(sealed)
    .bind(call.merchant)
    .bind(&call.key_hash[..])
    .bind(&call.request_hash[..])
    .tuple(connection)
    .optional()
}

/// Returns the bytes of the merchant's replies that records keep: of the last 24 hours, and up to an hour more.
pub fn usage(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<i64> {
    statement(
        "select coalesce(sum(bytes), 0)::bigint from idempotency_usage
         where merchant_id = $1 and hour > now() - interval '25 hours'",
    )
    .bind(merchant)
    .tuple(connection)
}

/// Deletes at most `limit` expired records, and old counts; returns the number of records.
pub fn delete_expired(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    statement("delete from idempotency_usage where hour <= now() - interval '25 hours'")
        .run(connection)?;
    statement(
        "delete from idempotency_records where (merchant_id, key_hash) in (
            select merchant_id, key_hash from idempotency_records
            where expires_at < now() order by expires_at limit $1 for update skip locked)",
    )
    .bind(limit)
    .execute(connection)
}
