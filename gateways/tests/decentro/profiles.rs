//! Decentro: bank accounts, by penny drop and penniless.

use khata_domain::{Gateway, Method, Recovery};
use serde_json::json;

use crate::conformance::profile::{
    Exception, Kind, NPCI, Profile, Reports, ReportsUtr, Webhooks, changed, without_words,
};
use crate::conformance::rules::{is_lost_without_cost, is_never_received};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::Name;

/// Returns a profile per flow.
pub(crate) fn profiles() -> Vec<Profile> {
    vec![penny_drop(), penniless()]
}

fn penny_drop() -> Profile {
    let mut exceptions = outcomes();
    exceptions.push(changed(
        Scenario::Technical,
        is_never_received,
        PROVIDER_ERROR,
    ));
    Profile {
        gateway: Gateway::Decentro,
        flow: "drop",
        path: "/decentro",
        credentials: json!({
            "client_id": "decentro_sandbox_client", "client_secret": "decentro_sandbox_secret",
        }),
        secret: "/client_secret",
        settings: json!({"methods": ["PENNY_DROP"]}),
        kind: Kind::Bank,
        method: Method::PennyDrop,
        recovery: Recovery::Lookup,
        reports: Reports::AtOnce,
        polls: NPCI,
        has_ids: true,
        reports_utr: ReportsUtr::Always,
        webhooks: Webhooks::None("Decentro sends no webhooks"),
        decides: &["account_status"],
        holders: &["data"],
        exceptions,
    }
}

fn penniless() -> Profile {
    let mut exceptions = outcomes();
    exceptions.push(changed(
        Scenario::Technical,
        is_lost_without_cost,
        PROVIDER_ERROR,
    ));
    Profile {
        flow: "penniless",
        settings: json!({"methods": ["PENNILESS"]}),
        method: Method::Penniless,
        reports_utr: ReportsUtr::Never,
        exceptions,
        ..penny_drop()
    }
}

const PROVIDER_ERROR: &str = "HTTP 500 error_provider_error, and a lookup does not find the call";

fn outcomes() -> Vec<Exception> {
    let mut exceptions = Vec::from(without_words(
        [
            Scenario::InvalidIfsc,
            Scenario::Closed,
            Scenario::Blocked,
            Scenario::Fraud,
        ],
        Scenario::Invalid,
    ));
    exceptions.push(changed(
        Scenario::Nre,
        |story| story.record.name = Name::Given,
        "the account exists, and the reply names its holder",
    ));
    exceptions
}
