//! Decentro: bank accounts, with a rupee and without.

use khata_domain::{Gateway, Method, Recovery};
use serde_json::json;

use super::{CallBacks, Kind, NPCI, Own, Subject, Tells, TellsUtr, by, without_words};
use crate::row::{Row, is_lost_for_nothing, stays_lost};
use crate::story::Name;

/// Its flows.
pub(super) fn subjects() -> Vec<Subject> {
    vec![penny_drop(), penniless()]
}

fn penny_drop() -> Subject {
    let mut own = outcomes();
    own.push(by(Row::Technical, stays_lost, PROVIDER_ERROR));
    Subject {
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
        tells: Tells::AtOnce,
        polls: NPCI,
        has_ids: true,
        tells_utr: TellsUtr::Always,
        gateway_webhooks: CallBacks::None("it calls nobody back"),
        own,
    }
}

fn penniless() -> Subject {
    let mut own = outcomes();
    own.push(by(Row::Technical, is_lost_for_nothing, PROVIDER_ERROR));
    Subject {
        flow: "penniless",
        settings: json!({"methods": ["PENNILESS"]}),
        method: Method::Penniless,
        tells_utr: TellsUtr::Never,
        own,
        ..penny_drop()
    }
}

const PROVIDER_ERROR: &str = "HTTP 500 error_provider_error, and the call is not found by a look";

fn outcomes() -> Vec<Own> {
    let mut own = Vec::from(without_words(
        [Row::InvalidIfsc, Row::Closed, Row::Blocked, Row::Fraud],
        Row::Invalid,
    ));
    own.push(by(
        Row::Nre,
        |story| story.record.name = Name::Somebody,
        "such an account exists, and its holder is told",
    ));
    own
}
