//! `GET /events`, `GET /events/{event_id}`: the merchant's events, each in the form of a webhook with the payload `FULL`; and
//! their deliveries.

use std::collections::HashMap;

use actix_web::HttpResponse;
use diesel::{PgConnection, QueryResult};
use khata_crypto::Keyring;
use khata_domain::MerchantId;
use khata_domain::events::{EndpointId, EndpointKey, EventId, EventName, Payload};
use khata_domain::text::trim;
use khata_present::{AccountEvent, Event, account_event, endpoint_event};
use khata_store::accounts::AccountRow;
use khata_store::events::{self as stored, EventPage};
use khata_store::webhooks::{self, DeliveryFilter, Endpoint, ReplayFilter};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::context::RequestContext;
use crate::decode::{Fields, event_name, number_or, parameter};
use crate::deliveries::{self, DeliveryPage};
use crate::error::{ApiError, Envelope, FaultCode, Faults, NO_EVENT};
use crate::present::{Page, described};
use crate::{reply, schema};

/// Most events of a page, and their number without `limit`.
const MAX_LIMIT: i64 = 100;
/// More deliveries than an event has.
const MAX_DELIVERIES: i64 = 100;

khata_present::named_schema! {
    pub(crate) EventList = described::<Page<Event>>("Events, the oldest first.");
}

/// List events
///
/// The events of all your accounts, the oldest first; of an account, in the order of its versions. Call again with the
/// `cursor` of the page as `after`, also after an empty page. No page skips an event: an event appears only when none can appear
/// before it any more, however long its transaction took. Each event is the body of its webhook with the payload `FULL`. Counts as
/// one request for each event of the page. With `after=latest` the page is empty, and its `cursor` is the newest event: the next
/// page begins with the first event after this call.
#[utoipa::path(get, path = "/events", operation_id = "listEvents", tag = "Events", params(schema::EventsQuery),
    responses((status = 200, description = "A page.", body = EventList),
        (status = 410, description = "`after` names an event that Khata does not keep any more. Begin without `after`.", body = Envelope<'static>)))]
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let Query {
        after,
        names,
        limit,
    } = Query::read(&context)?;
    let merchant = context.merchant_id();
    let after = match after {
        After::Beginning => None,
        After::Event(event) => Some(event),
        After::Latest => {
            let read = context
                .database
                .read("find latest event", move |connection| {
                    stored::latest(connection, merchant)
                });
            return reply::json(&Page::<Event>::new(Vec::new(), false, read.await?));
        }
    };
    let read = context.database.read("list events", move |connection| {
        let page = stored::list(connection, merchant, after, &names, limit)?;
        page.map(|page| Subjects::read(connection, merchant, page))
            .transpose()
    });
    let (subjects, has_more, cursor) = read.await?.ok_or(ApiError::EventNotKept)?;
    context.take_accounts(subjects.events.len())?;
    let list = subjects.present(&context.state.keyring, merchant)?;
    reply::json(&Page::new(list, has_more, cursor.or(after)))
}

/// Get an event
///
/// Returns the event as its webhook with the payload `FULL` has it.
#[utoipa::path(get, path = "/events/{event_id}", operation_id = "getEvent", tag = "Events", params(schema::EventPath),
    responses((status = 200, description = "The event.", body = Event)))]
pub(crate) async fn get(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let (event, merchant) = (event_of(&context)?, context.merchant_id());
    let read = context.database.read("find event", move |connection| {
        let events = stored::find(connection, merchant, event)?.into_iter();
        let page = EventPage {
            events: events.collect(),
            ..EventPage::default()
        };
        Subjects::read(connection, merchant, page)
    });
    let (subjects, ..) = read.await?;
    let events = subjects.present(&context.state.keyring, merchant)?;
    reply::json(&events.first().ok_or(NO_EVENT)?)
}

/// List the deliveries of an event
///
/// One for each of your webhook endpoints that gets the event, with its attempts.
#[utoipa::path(get, path = "/events/{event_id}/deliveries", operation_id = "listEventDeliveries", tag = "Events",
    params(schema::EventPath), responses((status = 200, description = "The deliveries.", body = DeliveryPage)))]
pub(crate) async fn deliveries(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let (event, merchant) = (event_of(&context)?, context.merchant_id());
    let read = context.database.read("list deliveries", move |connection| {
        if stored::find(connection, merchant, event)?.is_none() {
            return Ok(None);
        }
        let filter = DeliveryFilter {
            event: Some(event),
            ..DeliveryFilter::default()
        };
        deliveries::read(connection, merchant, filter, None, MAX_DELIVERIES).map(Some)
    });
    let page = read.await?.ok_or(NO_EVENT)?;
    reply::json(&page.present(&context.state.keyring)?)
}

/// What a replay did.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventReplay {
    #[schema(value_type = schema::EventReplayObject)]
    object: &'static str,
    #[schema(pattern = "^evt_[0-9a-v]{26}$")]
    event_id: String,
    /// Number of deliveries that begin now. A delivery that is due already, or in progress, goes on as it is, and does not count.
    #[schema(value_type = u64, example = 1)]
    deliveries: i64,
}

/// Replay an event
///
/// Delivers the event again, also where an endpoint accepted it: with the same id, and the same body if an attempt failed before. The
/// schedule of attempts begins again. Without `endpoint_id` every enabled endpoint that wants the event gets it; with it, that
/// endpoint alone. A disabled endpoint gets it once it is enabled.
#[utoipa::path(post, path = "/events/{event_id}/replay", operation_id = "replayEvent", tag = "Events",
    params(schema::EventPath),
    request_body(content((schema::ReplayBody = "application/x-www-form-urlencoded"), (schema::ReplayBody = "application/json"))),
    responses((status = 200, description = "The number of deliveries.", body = EventReplay)))]
pub(crate) async fn replay(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let (event, merchant) = (event_of(&context)?, context.merchant_id());
    let endpoint = read_replay(&body)?;
    let (reply, deliveries) = context
        .idempotent()?
        .write_reply("replay event", move |connection| {
            stored::find(connection, merchant, event)?.ok_or(NO_EVENT)?;
            if let Some(id) = endpoint
                && webhooks::find(connection, EndpointKey { merchant, id })?.is_none()
            {
                let reason =
                    "names no webhook endpoint of yours: list them with GET /webhook-endpoints";
                return Err(ApiError::field(
                    schema::REPLAY_ENDPOINT.name,
                    FaultCode::NotFound,
                    reason,
                ));
            }
            let filter = ReplayFilter {
                event: Some(event),
                endpoint,
                ..ReplayFilter::default()
            };
            let replayed = webhooks::replay(connection, merchant, &filter, None, 1, false)?;
            let body = reply::to_json(&EventReplay {
                object: "event_replay",
                event_id: event.to_string(),
                deliveries: replayed.deliveries,
            })?;
            Ok((body, replayed.deliveries))
        })
        .await?;
    if deliveries.is_some_and(|deliveries| deliveries > 0) {
        context.signal_deliveries();
    }
    Ok(reply)
}

/// Reads the body of *replay event*.
fn read_replay(body: &Map<String, Value>) -> Result<Option<EndpointId>, ApiError> {
    let mut faults = Faults::default();
    let fields = &mut Fields::of(body, &mut faults);
    let endpoint = fields.optional(&schema::REPLAY_ENDPOINT);
    fields.only(&schema::REPLAY_FIELDS);
    faults.check()?;
    Ok(endpoint)
}

/// The event that the path names.
fn event_of(context: &RequestContext) -> Result<EventId, ApiError> {
    EventId::parse(context.id()).ok_or_else(|| context.not_found(NO_EVENT))
}

/// Word for the newest event in place of an event's id.
const LATEST: &str = "latest";

/// Begin of a page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The oldest event that is kept.
    Beginning,
    /// The event behind this one.
    Event(EventId),
    /// The event behind the newest one.
    Latest,
}

/// The query of *list events*.
struct Query {
    after: After,
    /// Empty: all.
    names: Vec<EventName>,
    limit: i64,
}

impl Query {
    fn read(context: &RequestContext) -> Result<Self, ApiError> {
        let query: schema::EventsQuery = context.query().ok_or_else(|| {
            ApiError::field(
                "query",
                FaultCode::Duplicate,
                "may have after, types and limit once each",
            )
        })?;
        Self::parse(&query)
    }

    fn parse(query: &schema::EventsQuery) -> Result<Self, ApiError> {
        let mut faults = Faults::default();
        let after = |text: &str| match text {
            LATEST => Some(After::Latest),
            text => EventId::parse(text).map(After::Event),
        };
        let reason = "must be the id of an event, evt_ and 26 characters, or latest";
        let after = parameter("after", query.after.as_deref(), &mut faults, after, reason);
        let mut names = Vec::new();
        let types = query.types.as_deref().map(trim).unwrap_or_default();
        for text in types.split(',').map(trim).filter(|_| !types.is_empty()) {
            match event_name(text) {
                Ok(name) if names.contains(&name) => {}
                Ok(name) => names.push(name),
                Err((code, reason)) => {
                    faults.push("types", code, reason);
                    break;
                }
            }
        }
        let range = 1..=MAX_LIMIT;
        let limit = query.limit.as_deref();
        let limit = number_or("limit", limit, MAX_LIMIT, &range, &mut faults);
        faults.check()?;
        Ok(Self {
            after: after.unwrap_or(After::Beginning),
            names,
            limit,
        })
    }
}

/// Events, and the accounts and endpoints that they are about.
struct Subjects {
    events: Vec<stored::Event>,
    accounts: HashMap<EventId, AccountRow>,
    endpoints: Vec<Endpoint>,
}

impl Subjects {
    /// Reads the subjects of a page. Returns also whether there are more events, and the last one that was read.
    fn read(
        connection: &mut PgConnection,
        merchant: MerchantId,
        page: EventPage,
    ) -> QueryResult<(Self, bool, Option<EventId>)> {
        let EventPage {
            events,
            has_more,
            last,
        } = page;
        let (of_accounts, of_endpoints): (Vec<&stored::Event>, Vec<&stored::Event>) =
            events.iter().partition(|event| event.name.is_of_account());
        let keys: Vec<(MerchantId, EventId)> = of_accounts
            .iter()
            .map(|event| (merchant, event.id))
            .collect();
        let accounts = stored::with_accounts(connection, &keys)?;
        let accounts = accounts.into_iter().map(|one| (one.event.id, one.account));
        let endpoints = if of_endpoints.is_empty() {
            Vec::new()
        } else {
            webhooks::all(connection, Some(merchant))?
        };
        let subjects = Self {
            accounts: accounts.collect(),
            endpoints,
            events,
        };
        Ok((subjects, has_more, last))
    }

    /// Presents every event, in the order of the page.
    fn present(mut self, keyring: &Keyring, merchant: MerchantId) -> Result<Vec<Event>, ApiError> {
        let present = |event: &stored::Event| {
            if !event.name.is_of_account() {
                let mut endpoints = self.endpoints.iter();
                let endpoint = endpoints.find(|endpoint| endpoint.id.0 == event.subject_id);
                return Ok(endpoint_event(event, endpoint));
            }
            let account = self.accounts.remove(&event.id);
            let shown =
                account.and_then(|account| Some((AccountEvent::of(event, &account)?, account)));
            let Some((shown, account)) = shown else {
                tracing::error!(event_id = %event.id, "an event has no account");
                return Err(ApiError::Internal);
            };
            let payload = Payload::Full;
            Ok(account_event(keyring, merchant, &shown, account, payload)?)
        };
        self.events.iter().map(present).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(after: &str, types: &str, limit: &str) -> Result<Query, Vec<String>> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let query = schema::EventsQuery {
            after: some(after),
            types: some(types),
            limit: some(limit),
        };
        Query::parse(&query).map_err(|error| match error {
            ApiError::Invalid(faults) => faults
                .into_iter()
                .map(|fault| format!("{}: {}", fault.field_name, fault.reason))
                .collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_query_names_a_page() {
        let all = query("", "", "").unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(
            (all.after, all.names, all.limit),
            (After::Beginning, Vec::new(), 100)
        );
        let latest = query("latest", "", "").unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(latest.after, After::Latest);
        let event = EventId::new();
        let types = "CUSTOMER_ACCOUNT_ACTIVE, CUSTOMER_ACCOUNT_FAILURE,CUSTOMER_ACCOUNT_ACTIVE";
        let some =
            query(&event.to_string(), types, "7").unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(some.after, After::Event(event));
        assert_eq!(some.names, [EventName::Active, EventName::Failure]);
        assert_eq!(some.limit, 7);
    }

    #[test]
    fn a_bad_query_is_refused_with_every_fault() {
        let faults =
            |after: &str, types: &str, limit: &str| query(after, types, limit).err().unwrap();
        let all = faults("banh_x", "CUSTOMER_ACCOUNT_ACTIV", "101");
        assert_eq!(
            all,
            [
                "after: must be the id of an event, evt_ and 26 characters, or latest",
                "types: has CUSTOMER_ACCOUNT_ACTIV, which is not the name of an event: did you mean CUSTOMER_ACCOUNT_ACTIVE?",
                "limit: must be a whole number from 1 to 100",
            ]
        );
        for (types, part) in [
            ("active", "did you mean CUSTOMER_ACCOUNT_ACTIVE?"),
            (
                "customer_account_deleted",
                "did you mean CUSTOMER_ACCOUNT_DELETED?",
            ),
            ("payment", "the names are CUSTOMER_ACCOUNT_CREATED, "),
            (
                "CUSTOMER_ACCOUNT_ACTIVE,",
                "types: has a comma without a name",
            ),
        ] {
            let faults = faults("", types, "");
            assert!(faults[0].contains(part), "{types}: {faults:?}");
        }
        for limit in ["0", "-1", "x", "1.5"] {
            assert_eq!(faults("", "", limit).len(), 1, "{limit}");
        }
    }
}
