//! Deliveries of events to the webhook endpoints of merchants. A delivery is a row that the transaction of its event writes
//! ([`khata_store::webhooks`]); this worker makes the calls of the endpoints that it owns.
//!
//! `deliverer` owns endpoints and claims their due deliveries, `endpoints` decides how many, `commits` does both in batches,
//! `attempt` makes a call and records its result, `signals` says which merchants have due deliveries before they are polled.
//! Only rows whose calls are in progress are in memory: what is due otherwise stays in Postgres.

mod attempt;
mod body;
mod call_budget;
mod commits;
mod deliverer;
mod disable;
mod endpoints;
mod sender;
mod shares;
mod signals;
mod slot;
mod spans;

pub(crate) use attempt::Attempts;
pub(crate) use commits::DeliveryCommits;
pub(crate) use deliverer::Deliverer;
pub(crate) use disable::{disable, report_disabled};
pub(crate) use signals::Signals;
