//! Webhooks to merchants: their endpoints, and the deliveries of events to them. A delivery is a row that the transaction of its
//! event writes ([`crate::events`]); it stays open until the endpoint accepts it or every attempt has failed.
//!
//! One worker owns an endpoint and makes its calls, so that their concurrency, rate and order need no other agreement between
//! workers. A worker that stops no longer renews its ownership, and another one takes over.

mod deliveries;
mod endpoints;
mod owners;
mod replay;
mod settings;

pub use deliveries::{
    Attempted, DeliveryKey, LOST_AFTER, NO_BODY, SettledDelivery, StartedDelivery, Wanted, claim,
    next_due, settle,
};
pub use endpoints::{
    Change, DEFAULT_CONCURRENCY, Endpoint, MAX_ENDPOINTS, NewEndpoint, all, change, delete,
    delete_expired, disable, enable, failing, find, find_by_id, insert, shown_url,
};
pub use owners::{Owned, acquire, owned, owned_by_others, release, renew};
pub use replay::{
    AttemptRow, DeliveryFilter, DeliveryRow, ReplayFilter, Replayed, attempts, deliveries, replay,
    test,
};
pub use settings::{AccountUrl, Credentials, EndpointSettings, PreviousSecret};
