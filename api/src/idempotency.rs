//! `Idempotency-Key` (contract, *Conventions*): which call it is, and the answers to a repeated one. The records are kept
//! by `khata_store::idempotency`, in the transaction of what the call does.

use actix_web::http::header::{ContentType, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::AccountId;
use khata_store::idempotency::{IdempotentCall, PriorCall, Record, Reply, ReplyForm};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::state::{State, Written};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Of an answer that an earlier call was given.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const MAX_KEY: usize = 255;
/// How long a record is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// After the end of a wait, a call that has not answered has died.
const ANSWERING: TimeDelta = TimeDelta::seconds(5);

/// The call that this request is, where it carries a key.
pub(crate) fn call_of(
    request: &HttpRequest,
    merchant: khata_domain::MerchantId,
    keyring: &Keyring,
    body: &[u8],
) -> Result<Option<IdempotentCall>, ApiError> {
    let mut keys = request.headers().get_all(KEY);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let fits = (1..=MAX_KEY).contains(&key.len())
        && key.as_bytes().iter().all(u8::is_ascii_graphic)
        && keys.next().is_none();
    if !fits {
        return Err(ApiError::field(
            "Idempotency-Key",
            "must be given once, 1 to 255 visible ASCII characters",
        ));
    }
    let digest = |parts: &[&[u8]]| keyring.request_digest(merchant, parts);
    Ok(Some(IdempotentCall {
        merchant,
        key_hash: digest(&[b"key", key.as_bytes()]),
        request_hash: digest(&[
            b"call",
            request.method().as_str().as_bytes(),
            request.path().as_bytes(),
            body,
        ]),
    }))
}

/// A record of a call that is answered with this body.
pub(crate) fn answered(
    call: &IdempotentCall,
    keyring: &Keyring,
    body: &[u8],
    now: DateTime<Utc>,
) -> Record {
    Record {
        call: call.clone(),
        reply: Reply::Ready {
            sealed: seal(keyring, call, body),
        },
        expires_at: now + KEPT,
    }
}

/// A record of a call that made these accounts and waits for their outcomes.
pub(crate) fn awaited(
    call: &IdempotentCall,
    accounts: Vec<AccountId>,
    form: ReplyForm,
    waits_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Record {
    Record {
        call: call.clone(),
        reply: Reply::Awaited {
            accounts,
            form,
            until: waits_until + ANSWERING,
        },
        expires_at: now + KEPT,
    }
}

/// Seals an answer: it may hold account numbers.
pub(crate) fn seal(keyring: &Keyring, call: &IdempotentCall, body: &[u8]) -> Vec<u8> {
    keyring.encrypt(call.merchant, subject(call), Purpose::Reply, body)
}

/// Opens an answer.
pub(crate) fn open(
    keyring: &Keyring,
    call: &IdempotentCall,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let opened = keyring.decrypt(call.merchant, subject(call), Purpose::Reply, sealed);
    opened.map_err(|_| {
        tracing::error!("a kept answer does not open: is a key missing in the keyring?");
        ApiError::Internal
    })
}

fn subject(call: &IdempotentCall) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&call.key_hash[..16]);
    Uuid::from_bytes(bytes)
}

/// What a call that is not to be carried out is answered, unless it has died.
pub(crate) fn refuse_or_replay(
    keyring: &Keyring,
    call: &IdempotentCall,
    before: &PriorCall,
) -> Result<HttpResponse, ApiError> {
    match before {
        PriorCall::Replied {
            sealed_reply: sealed_answer,
        } => Ok(replay(open(keyring, call, sealed_answer)?)),
        PriorCall::KeyReused => Err(ApiError::IdempotencyKeyReused),
        PriorCall::Running | PriorCall::SameAs(_) | PriorCall::Interrupted { .. } => {
            Err(ApiError::IdempotencyInProgress)
        }
        PriorCall::None => Err(ApiError::Internal),
    }
}

/// What a call is answered that cannot be carried out any more: what it was answered when it could, or why it cannot.
pub(crate) async fn replay_or(
    state: &State,
    call: Option<IdempotentCall>,
    error: ApiError,
) -> Result<HttpResponse, ApiError> {
    let Some(call) = call else {
        return Err(error);
    };
    let known = state
        .write_once::<()>("insert record", Some(call.clone()), |_| Err(error))
        .await?;
    match known {
        Written::Before(before) => refuse_or_replay(&state.keyring, &call, &before),
        Written::Done(()) => Err(ApiError::Internal),
    }
}

/// A first answer.
pub(crate) fn first(body: Zeroizing<Vec<u8>>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(Bytes::from_owner(body))
}

/// The first answer, again.
pub(crate) fn replay(body: Zeroizing<Vec<u8>>) -> HttpResponse {
    let mut response = first(body);
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
