//! Events as webhooks and the list of events show them (contract, *Events and merchant webhooks*): the envelope, and in it the
//! account as it was at the event.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use khata_crypto::Keyring;
use khata_domain::events::{DisabledBy as By, EndpointId};
use khata_domain::validation::FailureCode;
use khata_domain::{EventId, EventName as Name, MerchantId, Payload};
use khata_store::accounts::AccountRow;
use khata_store::events as stored;
use khata_store::webhooks::Endpoint;
use serde::Serialize;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::account::{self, CustomerAccount};
use crate::error::PresentError;
use crate::masked::{MaskedCustomerAccount, ThinCustomerAccount};
use crate::schema::{enum_of, time};
use crate::snapshot::{Snapshot, ValidationSnapshot};

/// One change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEvent {
    pub id: EventId,
    pub name: Name,
    /// Time of the change.
    pub created_at: DateTime<Utc>,
    /// The account after the change.
    pub snapshot: Snapshot,
}

impl AccountEvent {
    /// Takes an event as it is stored, and the account that was read with it; `None` if the event is about an endpoint.
    pub fn of(event: &stored::Event, account: &AccountRow) -> Option<Self> {
        let now = &account.validation;
        let reason = |code: FailureCode| {
            let stored = now.failure_reason.clone();
            let stored = stored.filter(|_| now.failure_code == Some(code));
            stored.unwrap_or_else(|| code.reason().to_owned())
        };
        Some(Self {
            id: event.id,
            name: event.name,
            created_at: event.created_at,
            snapshot: Snapshot {
                status: event.status?,
                version: event.version,
                // Each change that an event reports sets the account's time, in the same transaction.
                updated_at: event.created_at,
                last_validated_at: event.last_validated_at,
                pinned_gateway_id: event.pinned_gateway_id,
                pinned_gateway_reference_id: event.pinned_gateway_reference_id.clone(),
                validation: event.validation.map(|_| ValidationSnapshot {
                    attempts: event.attempts.unwrap_or(0),
                    gateway_id: event.gateway_id,
                    gateway_reference_id: event.gateway_reference_id.clone(),
                    method: event.method,
                    failure_code: event.failure_code,
                    failure_reason: event.failure_code.map(reason),
                    pending_reason: event.pending_reason,
                    next_attempt_at: event.due_at,
                    completed_at: event.completed_at,
                }),
            },
        })
    }
}

/// One event, as a webhook or the list of events reports it.
#[derive(Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the members of the contract")]
pub struct Event {
    /// Stays the same when the event is sent again.
    #[schema(
        pattern = "^evt_[0-9a-v]{26}$",
        example = "evt_01k82u7s7aeqraoh1tia1a3hc8"
    )]
    id: String,
    #[schema(value_type = EventName)]
    event_name: Name,
    #[schema(format = DateTime, example = "2023-06-06T13:28:21Z")]
    date_created: String,
    content: EventContent,
}

impl Event {
    /// Returns the JSON of the event.
    pub fn to_json(&self) -> Result<Vec<u8>, PresentError> {
        serde_json::to_vec(self).map_err(|error| {
            tracing::error!(event_id = %self.id, %error, "event is not JSON");
            PresentError::NotJson
        })
    }
}

/// The object that the event is about: one member, named as the object.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum EventContent {
    CustomerAccount(EventAccount),
    WebhookEndpoint(EventEndpoint),
}

/// The webhook endpoint of an event.
#[derive(Serialize, ToSchema)]
struct EventEndpoint {
    #[schema(
        pattern = "^whe_[0-9a-v]{26}$",
        example = "whe_01k82u7s7aeqraoh1tia1a3hc8"
    )]
    id: String,
    /// `null` once the endpoint is deleted.
    #[schema(required, example = "https://hooks.example.com/khata")]
    url: Option<String>,
    /// When Khata stopped calling the endpoint; `null` if the event is a test.
    #[schema(required, format = DateTime)]
    disabled_at: Option<String>,
    /// Who or what stopped the calls; `null` if the event is a test, and once the endpoint is enabled again.
    #[schema(required, value_type = Option<DisabledBy>)]
    disabled_by: Option<By>,
}

/// The account of an event in one of the payloads.
#[derive(Serialize)]
#[serde(untagged)]
enum EventAccount {
    Full(Box<CustomerAccount>),
    Masked(Box<MaskedCustomerAccount>),
    Thin(ThinCustomerAccount),
}

impl PartialSchema for EventAccount {
    fn schema() -> RefOr<Schema> {
        let names = [
            CustomerAccount::name(),
            MaskedCustomerAccount::name(),
            ThinCustomerAccount::name(),
        ];
        let any = AnyOfBuilder::new().description(Some(
            "The account as it was after the change, as the payload `FULL`, `MASKED` or `THIN` shows it.",
        ));
        let names = names.into_iter().map(Ref::from_schema_name);
        names.fold(any, AnyOfBuilder::item).into()
    }
}

impl ToSchema for EventAccount {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        }
        add::<CustomerAccount>(schemas);
        add::<MaskedCustomerAccount>(schemas);
        add::<ThinCustomerAccount>(schemas);
    }
}

named_schema! {
    pub EventName = enum_of("What happened. `CUSTOMER_ACCOUNT_CREATED`: a call stored the account. `CUSTOMER_ACCOUNT_PENDING`, `CUSTOMER_ACCOUNT_ACTIVE`, `CUSTOMER_ACCOUNT_FAILURE`, `CUSTOMER_ACCOUNT_DELETED`: the account got this status. `CUSTOMER_ACCOUNT_UPDATED`: another value of the account changed. `WEBHOOK_ENDPOINT_DISABLED`: Khata makes no more calls to an endpoint. `WEBHOOK_ENDPOINT_TEST`: a test of an endpoint, which alone gets the webhook.", Name::ALL.iter().map(|one| one.as_str()));
    pub DisabledBy = enum_of("Who or what disabled an endpoint. `MERCHANT`: a call of yours. `OPERATOR`: a command. `FAILING`: no call succeeded for five days. `GONE`: it replied 410.", By::ALL.iter().map(|one| one.as_str()));
}

/// Returns the JSON of an event of an account, as [`account_event`] shows it. The same arguments give the same bytes.
pub fn event(
    keyring: &Keyring,
    merchant: MerchantId,
    event: &AccountEvent,
    account: AccountRow,
    payload: Payload,
) -> Result<Vec<u8>, PresentError> {
    account_event(keyring, merchant, event, account, payload)?.to_json()
}

/// Presents an event of an account, with the account as it was then. `account` is the account as it is now, read with its metadata,
/// and with the validation of the event in place of its newest one.
pub fn account_event(
    keyring: &Keyring,
    merchant: MerchantId,
    event: &AccountEvent,
    mut account: AccountRow,
    payload: Payload,
) -> Result<Event, PresentError> {
    // A thin payload decrypts nothing, which would fail for another merchant.
    if account.merchant != merchant {
        tracing::error!(account_id = %account.id, event_id = %event.id, "the account belongs to another merchant than the event");
        return Err(PresentError::OtherMerchant);
    }
    event.snapshot.restore(&mut account);
    let shown = match payload {
        Payload::Full => EventAccount::Full(Box::new(account::stored(keyring, merchant, account)?)),
        Payload::Masked => {
            let (details, result) = account::decrypt(keyring, merchant, &account)?;
            let shown = account::present(account, &details, result);
            EventAccount::Masked(Box::new(MaskedCustomerAccount::of(shown, &details)))
        }
        Payload::Thin => EventAccount::Thin(ThinCustomerAccount::of(&account)),
    };
    Ok(Event {
        id: event.id.to_string(),
        event_name: event.name,
        date_created: time(event.created_at),
        content: EventContent::CustomerAccount(shown),
    })
}

/// Presents an event of a webhook endpoint. Every payload shows the same. `endpoint` is the endpoint as it is now, `None` once it is
/// deleted.
pub fn endpoint_event(event: &stored::Event, endpoint: Option<&Endpoint>) -> Event {
    let disabled_at = (event.name == Name::EndpointDisabled).then_some(event.created_at);
    // The transaction that disabled the endpoint wrote the event, with the same time.
    let disabled =
        endpoint.filter(|endpoint| disabled_at.is_some() && endpoint.disabled_at == disabled_at);
    let shown = EventEndpoint {
        id: EndpointId(event.subject_id).to_string(),
        url: endpoint.map(|endpoint| endpoint.url.clone()),
        disabled_at: disabled_at.map(time),
        disabled_by: disabled.and_then(|endpoint| endpoint.disabled_by),
    };
    Event {
        id: event.id.to_string(),
        event_name: event.name,
        date_created: time(event.created_at),
        content: EventContent::WebhookEndpoint(shown),
    }
}
