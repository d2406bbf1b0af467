//! `Idempotency-Key` (contract, *Conventions*): each call with a key is performed once. A repeated call gets the first reply.
//!
//! Every write that a merchant may repeat goes through [`execute`], inside its transaction: the group commit for many calls
//! at once, [`Idempotent::write`] for one. The record of a call commits together with its work. A reply with accounts is
//! rendered, encrypted and recorded after the commit, so that no other call waits for it.

use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use chrono::TimeDelta;
use diesel::PgConnection;
use khata_crypto::{Keyring, Purpose};
use khata_domain::account::ValueError;
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::mutants::{self, Mutant};
use khata_domain::{AccountId, MerchantId, text};
use khata_store::accounts::{self, AccountRow};
use khata_store::idempotency::{
    self as records, IdempotentCall, PriorCall, Record, Reply, ReplyForm,
};
use uuid::Uuid;

use crate::database::{Database, RecentRows};
use crate::error::{ApiError, FaultCode};
use crate::present::recorded::RecordedReply;
use crate::present::{self, CustomerAccount};
use crate::reply;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY: usize = 255;
/// Time after the end of its wait in which a call must reply; later it counts as interrupted.
const REPLY_TIME: TimeDelta = TimeDelta::seconds(5);

/// Maximum bytes of the replies that the records of a merchant keep.
pub(crate) const MAX_STORED: i64 = 8 << 30;

/// The result of [`execute`] for one call: its own work, or the state of an earlier call with the same key that did the work
/// or is doing it.
pub(crate) type Execution<T> = Result<T, PriorCall>;

/// Bytes of the replies that the records of each merchant keep.
pub(crate) type StoredReplies = RecentRows<MerchantId, i64>;

/// The result of an idempotent write after its commit.
pub(crate) enum Written<T> {
    /// The call's own work.
    Done(T),
    /// The reply of an earlier call with the same key.
    Reply(HttpResponse),
    /// An earlier call with the same key created these accounts, and its reply shows them as they were then.
    Created(Vec<AccountRow>),
}

impl<T> Written<T> {
    /// The reply of an earlier call that is no creation.
    pub(crate) fn into_reply(self) -> Result<HttpResponse, ApiError> {
        match self {
            Self::Reply(reply) => Ok(reply),
            Self::Done(_) | Self::Created(_) => Err(ApiError::Internal),
        }
    }
}

/// Performs the calls that no earlier call has performed, and stores their records. In a transaction. `work` returns a value
/// and a record for each of the calls it is given, in order.
pub(crate) fn execute<C, T, E: From<diesel::result::Error>>(
    connection: &mut PgConnection,
    calls: &[C],
    key_of: impl Fn(&C) -> Option<&IdempotentCall>,
    work: impl FnOnce(&mut PgConnection, &[&C]) -> Result<Vec<(T, Option<Record>)>, E>,
) -> Result<Vec<Execution<T>>, E> {
    let keys: Vec<&IdempotentCall> = calls.iter().filter_map(&key_of).collect();
    let mut found = records::begin(connection, &keys)?.into_iter();
    let mut earlier = |call| key_of(call).and_then(|_| found.next());
    let earlier: Vec<PriorCall> = calls
        .iter()
        .map(|call| earlier(call).unwrap_or(PriorCall::None))
        .collect();
    let new = calls.iter().zip(&earlier);
    let new = new.filter(|(_, before)| **before == PriorCall::None);
    let new: Vec<&C> = new.map(|(call, _)| call).collect();
    let mut done = work(connection, &new)?.into_iter();
    let mut kept: Vec<Record> = Vec::new();
    let mut executions = Vec::with_capacity(calls.len());
    for (call, before) in calls.iter().zip(earlier) {
        executions.push(match before {
            PriorCall::None => done.next().ok_or(before).map(|(value, record)| {
                kept.extend(record);
                value
            }),
            PriorCall::SameAs(_) => Err(reply_in_batch(&kept, key_of(call))),
            before => Err(before),
        });
    }
    if !mutants::is_on(Mutant::LostRecord) {
        records::insert(connection, &kept)?;
    }
    Ok(executions)
}

/// The state of a call whose first occurrence is in the same batch.
fn reply_in_batch(kept: &[Record], call: Option<&IdempotentCall>) -> PriorCall {
    let record = kept.iter().find(|record| Some(&record.call) == call);
    match record.map(|record| &record.reply) {
        Some(Reply::Ready { sealed }) => PriorCall::Replied {
            sealed_reply: sealed.clone(),
        },
        Some(Reply::Created { accounts, .. }) => PriorCall::Created {
            accounts: accounts.clone(),
        },
        // The first one waits for an outcome, or was rejected and may be repeated.
        _ => PriorCall::Running,
    }
}

/// The `Idempotency-Key` of a call, if it has one, and the means to use it.
#[derive(Clone)]
pub(crate) struct Idempotent {
    database: Database,
    keyring: Arc<Keyring>,
    stored: Arc<StoredReplies>,
    call: Option<IdempotentCall>,
}

impl Idempotent {
    /// Reads the key of a request with this body.
    pub(crate) fn of(
        database: &Database,
        keyring: &Arc<Keyring>,
        stored: &Arc<StoredReplies>,
        merchant: MerchantId,
        request: &HttpRequest,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        let mut keys = request.headers().get_all(KEY);
        let hash = |key: &HeaderValue| {
            let digest = |parts: &[&[u8]]| keyring.request_digest(merchant, parts);
            let method = request.method().as_str().as_bytes();
            IdempotentCall {
                merchant,
                key_hash: digest(&[b"key", key.as_bytes()]),
                request_hash: digest(&[b"call", method, request.path().as_bytes(), body]),
            }
        };
        let is_valid = |key: &&HeaderValue| {
            let is_visible = key.as_bytes().iter().all(u8::is_ascii_graphic);
            is_visible && (1..=MAX_KEY).contains(&key.len())
        };
        let reason = "must be given once, 1 to 255 visible ASCII characters";
        // Two programs that lack a key would get each other's replies.
        let is_placeholder = |key: &HeaderValue| key.to_str().is_ok_and(text::is_placeholder_id);
        let call = match (keys.next(), keys.next()) {
            (None, _) => None,
            (Some(key), None) if is_placeholder(key) => {
                return Err(ApiError::field(
                    "Idempotency-Key",
                    FaultCode::Placeholder,
                    ValueError::PLACEHOLDER.reason(),
                ));
            }
            (Some(key), None) if is_valid(&key) => Some(hash(key)),
            _ => {
                return Err(ApiError::field(
                    "Idempotency-Key",
                    FaultCode::Format,
                    reason,
                ));
            }
        };
        Ok(Self {
            database: database.clone(),
            keyring: Arc::clone(keyring),
            stored: Arc::clone(stored),
            call,
        })
    }

    pub(crate) fn call(&self) -> Option<&IdempotentCall> {
        self.call.as_ref()
    }

    /// The record of this call with its reply.
    pub(crate) fn replied(&self, body: &[u8]) -> Option<Record> {
        let sealed = self.encrypt(self.call.as_ref()?, body);
        self.record(Reply::Ready { sealed })
    }

    /// The record of this call, which replies with these accounts as it creates them.
    pub(crate) fn created(&self, accounts: Vec<AccountId>, form: ReplyForm) -> Option<Record> {
        self.record(Reply::Created { accounts, form })
    }

    /// The record of this call, which replies with these accounts once they have outcomes, or after this wait.
    pub(crate) fn waiting(
        &self,
        accounts: Vec<AccountId>,
        form: ReplyForm,
        wait: TimeDelta,
    ) -> Option<Record> {
        self.record(Reply::Awaited {
            accounts,
            form,
            wait: wait + REPLY_TIME,
        })
    }

    fn record(&self, reply: Reply) -> Option<Record> {
        let call = self.call.clone()?;
        Some(Record { call, reply })
    }

    /// Performs one call in a transaction of its own.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        summary: &'static str,
        work: impl FnOnce(&mut PgConnection, &Self) -> Result<(T, Option<Record>), ApiError>
        + Send
        + 'static,
    ) -> Result<Written<T>, ApiError> {
        let calls = [self.clone()];
        let execution = self.database.write(summary, move |connection| {
            let one = |connection: &mut PgConnection, calls: &[&Self]| {
                let results = calls.first().map(|call| work(connection, call));
                results.into_iter().collect::<Result<Vec<_>, _>>()
            };
            let mut executions = execute(connection, &calls, Self::call, one)?;
            executions.pop().ok_or(ApiError::Internal)
        });
        self.conclude(execution.await?).await
    }

    /// Performs one call in a transaction of its own and records its reply. `work` returns the body of the reply and another
    /// value, which is `None` here if an earlier call with the same key did the work.
    pub(crate) async fn write_reply<T: Send + 'static>(
        &self,
        summary: &'static str,
        work: impl FnOnce(&mut PgConnection) -> Result<(Vec<u8>, T), ApiError> + Send + 'static,
    ) -> Result<(HttpResponse, Option<T>), ApiError> {
        if let Err(error) = self.check_room().await {
            return Ok((self.earlier_or(error).await?.into_reply()?, None));
        }
        let written = self.write(summary, move |connection, idempotent| {
            let (body, value) = work(connection)?;
            let record = idempotent.replied(&body);
            Ok(((body, value), record))
        });
        Ok(match written.await? {
            Written::Done((body, value)) => (reply::ok(body), Some(value)),
            earlier => (earlier.into_reply()?, None),
        })
    }

    /// Turns the result of [`execute`] into this call's own work, or into the reply of the earlier call.
    pub(crate) async fn conclude<T>(
        &self,
        execution: Execution<T>,
    ) -> Result<Written<T>, ApiError> {
        let (before, call) = match (execution, &self.call) {
            (Ok(value), _) => return Ok(Written::Done(value)),
            (Err(before), Some(call)) => (before, call),
            (Err(_), None) => return Err(ApiError::Internal),
        };
        let reply = match before {
            PriorCall::Replied { sealed_reply } => {
                Ok(reply::replayed(self.body_of(call, &sealed_reply).await?))
            }
            PriorCall::Created { accounts } => {
                let rows = self.rows(call.merchant, accounts).await?;
                return Ok(Written::Created(rows));
            }
            PriorCall::Interrupted { accounts, form } => {
                self.resume_interrupted(call.merchant, accounts, form).await
            }
            PriorCall::KeyReused => Err(ApiError::IdempotencyKeyReused),
            PriorCall::Running | PriorCall::SameAs(_) => Err(ApiError::IdempotencyInProgress),
            PriorCall::None => Err(ApiError::Internal),
        };
        reply.map(Written::Reply)
    }

    /// Checks that the merchant has room for the record of a call with a key. What was stored is read again every few seconds.
    pub(crate) async fn check_room(&self) -> Result<(), ApiError> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let merchant = call.merchant;
        let read = self
            .database
            .read("read stored replies", move |connection| {
                records::usage(connection, merchant)
            });
        if self.stored.get_or(merchant, read).await? < MAX_STORED {
            Ok(())
        } else {
            Err(ApiError::IdempotencyStorageFull)
        }
    }

    /// The result of an earlier call with the same key, or else this error.
    pub(crate) async fn earlier_or(&self, error: ApiError) -> Result<Written<()>, ApiError> {
        if self.call.is_none() {
            return Err(error);
        }
        self.write("find record", |_, _| Err(error)).await
    }

    /// Replies with these accounts to a call that committed without a reply. With a key, the reply is recorded first, and the
    /// recorded reply is sent.
    pub(crate) async fn finish(
        &self,
        form: ReplyForm,
        accounts: Vec<CustomerAccount>,
    ) -> Result<HttpResponse, ApiError> {
        let Some(call) = &self.call else {
            return Ok(reply::ok(present::body(form, accounts)?));
        };
        let (recorded, metadata) = RecordedReply::split(form, accounts)?;
        let sealed = self.encrypt(call, &recorded.to_bytes());
        let (owned, own) = (call.clone(), sealed.clone());
        failpoints::pass(Failpoint::REPLY_BEFORE_RECORD).await;
        let first = self.database.read("record reply", move |connection| {
            records::add_reply(connection, &owned, &own)
        });
        match first.await {
            Ok(Some(first)) if first != sealed => Ok(reply::ok(self.body_of(call, &first).await?)),
            Ok(_) => {
                let metadata: Vec<_> = metadata.iter().collect();
                Ok(reply::ok(recorded.body(&metadata)?))
            }
            // The work is done. A reply without a record would differ from that of a repetition.
            Err(_) => Err(ApiError::Unknown),
        }
    }

    /// Replies in place of a call that was interrupted before its reply, with the current state of its accounts.
    async fn resume_interrupted(
        &self,
        merchant: MerchantId,
        accounts: Vec<AccountId>,
        form: ReplyForm,
    ) -> Result<HttpResponse, ApiError> {
        let rows = self.rows(merchant, accounts).await?;
        let present = |row| present::stored(&self.keyring, merchant, row);
        let accounts: Result<_, ApiError> = rows.into_iter().map(present).collect();
        self.finish(form, accounts?).await
    }

    /// The accounts that a record names, deleted ones too. They are stored: no fault here means that nothing was.
    async fn rows(
        &self,
        merchant: MerchantId,
        accounts: Vec<AccountId>,
    ) -> Result<Vec<AccountRow>, ApiError> {
        let rows = self.database.read("find accounts", move |connection| {
            accounts::find_many(connection, merchant, &accounts)
        });
        rows.await.map_err(|_| ApiError::Unknown)
    }

    /// The body of a recorded reply: the record keeps it whole, or without the metadata of its accounts.
    async fn body_of(&self, call: &IdempotentCall, sealed: &[u8]) -> Result<Vec<u8>, ApiError> {
        let plain = self.decrypt(call, sealed)?;
        let Some(recorded) = RecordedReply::parse(&plain) else {
            return Ok(plain);
        };
        let rows = self.rows(call.merchant, recorded.accounts()).await?;
        let metadata: Vec<_> = rows.iter().map(|row| &row.metadata).collect();
        recorded.body(&metadata)
    }

    /// Encrypts a reply, because it may hold account numbers.
    fn encrypt(&self, call: &IdempotentCall, body: &[u8]) -> Vec<u8> {
        self.keyring
            .encrypt(call.merchant, subject(call), Purpose::Reply, body)
    }

    fn decrypt(&self, call: &IdempotentCall, sealed: &[u8]) -> Result<Vec<u8>, ApiError> {
        let (merchant, keyring) = (call.merchant, &self.keyring);
        let plain = keyring.decrypt(merchant, subject(call), Purpose::Reply, sealed);
        plain.map(|plain| plain.to_vec()).map_err(|_| {
            tracing::error!(
                "cannot decrypt a recorded reply; check that the keyring holds its key"
            );
            ApiError::Internal
        })
    }
}

fn subject(call: &IdempotentCall) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&call.key_hash[..16]);
    Uuid::from_bytes(bytes)
}
