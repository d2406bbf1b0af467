//! Setu: bank accounts in both flows, UPI addresses by UMAP.

use std::time::Duration;

use data_encoding::BASE64;
use khata_domain::{Class, Gateway, Method, Recovery};
use serde_json::json;

use crate::conformance::profile::{
    COSTS_NOTHING, Kind, NEVER_PENDING, NPCI, Profile, Reports, ReportsUtr, STATUS_DECIDES,
    Webhooks, absent, address_exceptions, changed, like, without_words,
};
use crate::conformance::rules::{RETRY_DELAY, ends_with, status_decides};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::{Action, Name, Story};
use crate::support::hmac;

/// Returns a profile per flow.
pub(crate) fn profiles() -> Vec<Profile> {
    vec![asynchronous(), synchronous(), penniless(), umap()]
}

fn asynchronous() -> Profile {
    Profile {
        gateway: Gateway::Setu,
        flow: "async",
        path: "/setu",
        credentials: json!({
            "client_id": "setu-sandbox-client", "client_secret": "setu-sandbox-secret",
            "product_instance_id": "setu-sandbox-product-instance",
        }),
        secret: "/client_secret",
        settings: json!({"bank_flow": "async"}),
        kind: Kind::Bank,
        method: Method::PennyDrop,
        recovery: Recovery::None,
        reports: Reports::Later,
        polls: NPCI,
        has_ids: true,
        reports_utr: ReportsUtr::IfValid,
        webhooks: Webhooks::Hint,
        decides: &[
            "id",
            "verification",
            "code",
            "status",
            "event",
            "eventType",
            "eventTs",
            "merchantId",
            "merchantReferenceId",
        ],
        holders: &["data", "bav"],
        exceptions: vec![changed(
            Scenario::UnknownCode,
            status_decides,
            STATUS_DECIDES,
        )],
    }
}

fn synchronous() -> Profile {
    Profile {
        flow: "sync",
        settings: json!({"bank_flow": "sync"}),
        reports: Reports::AtOnce,
        webhooks: Webhooks::None("only asynchronous calls have webhooks"),
        ..asynchronous()
    }
}

fn penniless() -> Profile {
    let mut exceptions = Vec::from(without_words(
        [
            Scenario::InvalidIfsc,
            Scenario::Closed,
            Scenario::Blocked,
            Scenario::Nre,
            Scenario::Fraud,
        ],
        Scenario::Invalid,
    ));
    exceptions.extend([
        like(Scenario::PendingThenValid, Scenario::Valid, NEVER_PENDING),
        like(
            Scenario::PendingThenInvalid,
            Scenario::Invalid,
            NEVER_PENDING,
        ),
        like(Scenario::PendingForever, Scenario::Valid, NEVER_PENDING),
        absent(Scenario::TooManyPolls, NEVER_PENDING),
        like(
            Scenario::Inconclusive,
            Scenario::Technical,
            "the gateway has no word for it",
        ),
        changed(
            Scenario::ErrorBefore,
            ends_as_retryable,
            CHECKS_COST_NOTHING,
        ),
        changed(Scenario::ErrorAfter, ends_as_retryable, CHECKS_COST_NOTHING),
        changed(
            Scenario::UnknownCode,
            |story| story.record.name = Name::Missing,
            "an unknown status comes without a name",
        ),
    ]);
    Profile {
        flow: "penniless",
        settings: json!({"methods": ["PENNILESS"]}),
        method: Method::Penniless,
        recovery: Recovery::Resubmit,
        reports: Reports::AtOnce,
        has_ids: false,
        reports_utr: ReportsUtr::Never,
        webhooks: Webhooks::None("only asynchronous penny drops have webhooks"),
        decides: &["status", "message"],
        exceptions,
        ..asynchronous()
    }
}

fn umap() -> Profile {
    let mut exceptions = address_exceptions();
    exceptions.extend(without_words([Scenario::Nre], Scenario::Valid));
    exceptions.extend(without_words([Scenario::Fraud], Scenario::Invalid));
    exceptions.extend(without_words([Scenario::Inconclusive], Scenario::Technical));
    exceptions.extend([
        absent(
            Scenario::UnknownCode,
            "the sandbox has no unknown status of addresses",
        ),
        changed(
            Scenario::ErrorBefore,
            ends_as_retryable,
            LOOKUPS_COST_NOTHING,
        ),
        changed(
            Scenario::ErrorAfter,
            ends_as_retryable,
            LOOKUPS_COST_NOTHING,
        ),
        like(Scenario::Balance, Scenario::Valid, COSTS_NOTHING),
    ]);
    Profile {
        flow: "umap",
        credentials: json!({
            "client_id": "setu-sandbox-client", "client_secret": "setu-sandbox-secret",
            "product_instance_id": "setu-sandbox-product-instance",
            "umap": {
                "merchant_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "client_id": "setu-sandbox-umap-client", "client_secret": "setu-sandbox-umap-secret",
            },
            "webhook_secrets": ["SetuSandboxWebhookSecret01"],
        }),
        secret: "/umap/client_secret",
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        recovery: Recovery::Resubmit,
        polls: [
            Duration::from_secs(5),
            Duration::from_secs(30),
            Duration::from_mins(5),
            Duration::from_hours(1),
        ],
        reports_utr: ReportsUtr::Never,
        webhooks: Webhooks::Signed {
            header: "x-setu-signature",
            max_age: Some(Duration::from_hours(24)),
            add_old_secret: |credentials, old| {
                if let Some(secrets) = credentials["webhook_secrets"].as_array_mut() {
                    secrets.push(old.into());
                }
            },
            sign: |body| {
                let tag = BASE64.encode(&hmac("SetuSandboxWebhookSecret01", &[body]));
                vec![("x-setu-signature".into(), tag)]
            },
        },
        exceptions,
        ..asynchronous()
    }
}

const CHECKS_COST_NOTHING: &str = "a failed check is retried";
const LOOKUPS_COST_NOTHING: &str = "a failed lookup is retried";

fn ends_as_retryable(story: &mut Story) {
    ends_with(story, Class::Retryable, Action::Again(RETRY_DELAY));
}
