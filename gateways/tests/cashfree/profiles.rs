//! Cashfree: bank accounts in both flows, UPI addresses by penny drop and by lookup.

use std::time::Duration;

use chrono::Utc;
use data_encoding::BASE64;
use khata_domain::{Class, Gateway, Method, Recovery};
use serde_json::json;

use crate::conformance::profile::{
    COSTS_NOTHING, Exception, Kind, NEVER_PENDING, NPCI, Profile, Reports, ReportsUtr,
    STATUS_DECIDES, Webhooks, absent, address_exceptions, changed, like, without_words,
};
use crate::conformance::rules::{is_lost_without_cost, is_never_received, status_decides};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::CallOutcome;
use crate::support::hmac;

/// Returns a profile per flow.
pub(crate) fn profiles() -> Vec<Profile> {
    vec![
        asynchronous(),
        synchronous(),
        upi_penny_drop(),
        upi_lookup(),
    ]
}

fn asynchronous() -> Profile {
    Profile {
        gateway: Gateway::Cashfree,
        flow: "async",
        path: "/cashfree/verification",
        credentials: json!({"client_id": "sandbox_client", "client_secret": "sandbox_secret"}),
        secret: "/client_secret",
        settings: json!({"bank_flow": "async"}),
        kind: Kind::Bank,
        method: Method::PennyDrop,
        recovery: Recovery::Lookup,
        reports: Reports::Later,
        polls: NPCI,
        has_ids: true,
        reports_utr: ReportsUtr::IfValid,
        webhooks: Webhooks::Signed {
            header: "x-webhook-signature",
            max_age: Some(Duration::from_mins(5)),
            add_old_secret: |credentials, old| credentials["previous_client_secret"] = old.into(),
            sign: |body| {
                let timestamp = Utc::now().timestamp_millis().to_string();
                let tag = hmac("sandbox_secret", &[timestamp.as_bytes(), body]);
                vec![
                    ("x-webhook-signature".into(), BASE64.encode(&tag)),
                    ("x-webhook-timestamp".into(), timestamp),
                ]
            },
        },
        decides: &[
            "account_status",
            "account_status_code",
            "status",
            "user_id",
            "event_type",
        ],
        holders: &["data"],
        exceptions: vec![
            like(Scenario::Closed, Scenario::Invalid, CLOSED),
            changed(Scenario::UnknownCode, status_decides, STATUS_DECIDES),
            changed(
                Scenario::Balance,
                |story| {
                    story
                        .results
                        .insert(0, CallOutcome::Response(Class::Pending));
                    story.record.reference = true;
                },
                "an asynchronous call is received first, and ends as REJECTED",
            ),
        ],
    }
}

fn synchronous() -> Profile {
    Profile {
        flow: "sync",
        settings: json!({"bank_flow": "sync"}),
        recovery: Recovery::None,
        reports: Reports::AtOnce,
        webhooks: Webhooks::None("a synchronous call has no reference to match a webhook"),
        exceptions: vec![
            like(Scenario::Closed, Scenario::Invalid, CLOSED),
            changed(Scenario::UnknownCode, status_decides, STATUS_DECIDES),
        ],
        ..asynchronous()
    }
}

const CLOSED: &str = "Cashfree reports INVALID_ACCOUNT_FAIL";

fn upi_penny_drop() -> Profile {
    let mut exceptions = upi();
    exceptions.push(changed(
        Scenario::Technical,
        is_never_received,
        "HTTP 502, and a lookup does not find the address",
    ));
    Profile {
        flow: "upi drop",
        kind: Kind::Upi { consent: true },
        reports: Reports::AtOnce,
        webhooks: Webhooks::None("Cashfree's events are about bank accounts"),
        exceptions,
        ..asynchronous()
    }
}

fn upi_lookup() -> Profile {
    let mut exceptions = upi();
    exceptions.push(changed(
        Scenario::Technical,
        is_lost_without_cost,
        "HTTP 502",
    ));
    exceptions.push(like(Scenario::Balance, Scenario::Valid, COSTS_NOTHING));
    Profile {
        flow: "upi lookup",
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        reports_utr: ReportsUtr::Never,
        exceptions,
        ..upi_penny_drop()
    }
}

fn upi() -> Vec<Exception> {
    let mut exceptions = address_exceptions();
    exceptions.extend(without_words(
        [Scenario::Nre, Scenario::Fraud],
        Scenario::Invalid,
    ));
    exceptions.extend([
        changed(
            Scenario::Inconclusive,
            |story| {
                story.record.reference = false;
                story.rupees = 0;
            },
            "HTTP 422 bene_bank_declined: the call is rejected",
        ),
        absent(
            Scenario::UnknownCode,
            "the sandbox has no unknown status of addresses",
        ),
        like(Scenario::PendingThenValid, Scenario::Valid, NEVER_PENDING),
        like(
            Scenario::PendingThenInvalid,
            Scenario::Invalid,
            NEVER_PENDING,
        ),
        like(
            Scenario::PendingForever,
            Scenario::Technical,
            "an address gets an outcome at once, or none",
        ),
        like(Scenario::TooManyPolls, Scenario::Valid, NEVER_PENDING),
    ]);
    exceptions
}
