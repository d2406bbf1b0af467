//! Razorpay: RazorpayX's account validation, and the payment gateway's lookup of a UPI address.

use std::time::Duration;

use data_encoding::HEXLOWER;
use khata_domain::validation::{FailureCode, Outcome};
use khata_domain::{Class, Gateway, Method, Recovery};
use serde_json::json;

use crate::conformance::profile::{
    COSTS_NOTHING, Exception, Kind, NPCI, Profile, Reports, ReportsUtr, Webhooks, absent,
    address_exceptions, changed, like, lookup_exceptions, without_words,
};
use crate::conformance::rules::{RETRY_DELAY, ends_with, is_lost_without_cost};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::Action;
use crate::support::hmac;

/// Returns a profile per flow.
pub(crate) fn profiles() -> Vec<Profile> {
    vec![penny_drop(), penniless(), vpa_penny_drop(), vpa_lookup()]
}

fn penny_drop() -> Profile {
    Profile {
        gateway: Gateway::Razorpay,
        flow: "drop",
        path: "/razorpay",
        credentials: json!({
            "key_id": "rzp_test_sandbox", "key_secret": "sandbox_secret",
            "webhook_secrets": ["sandbox_webhook_secret"],
        }),
        secret: "/key_secret",
        settings: json!({"source_account_number": "7878780080316316"}),
        kind: Kind::Bank,
        method: Method::PennyDrop,
        recovery: Recovery::Resubmit,
        reports: Reports::Later,
        polls: NPCI,
        has_ids: true,
        reports_utr: ReportsUtr::IfValid,
        webhooks: Webhooks::Signed {
            header: "x-razorpay-signature",
            max_age: None,
            add_old_secret: |credentials, old| {
                if let Some(secrets) = credentials["webhook_secrets"].as_array_mut() {
                    secrets.push(old.into());
                }
            },
            sign: |body| {
                let tag = HEXLOWER.encode(&hmac("sandbox_webhook_secret", &[body]));
                vec![("x-razorpay-signature".into(), tag)]
            },
        },
        decides: &[
            "id",
            "status",
            "account_status",
            "reason",
            "success",
            "event",
            "reference_id",
            "account_type",
        ],
        holders: &[
            "results",
            "validation_results",
            "status_details",
            "fund_account",
            "payload",
            "fund_account.validation",
            "entity",
        ],
        exceptions: outcomes(),
    }
}

fn penniless() -> Profile {
    let mut exceptions = outcomes();
    exceptions.push(like(Scenario::Balance, Scenario::Valid, COSTS_NOTHING));
    Profile {
        flow: "penniless",
        settings: json!({"source_account_number": "7878780080316316", "methods": ["PENNILESS"]}),
        method: Method::Penniless,
        reports_utr: ReportsUtr::Never,
        exceptions,
        ..penny_drop()
    }
}

fn vpa_penny_drop() -> Profile {
    let mut exceptions = address_exceptions();
    exceptions.extend(outcomes());
    exceptions.push(changed(
        Scenario::Invalid,
        |story| ends_with(story, Class::Retryable, Action::Again(RETRY_DELAY)),
        "PSPs reject addresses that exist: one retry",
    ));
    Profile {
        flow: "vpa drop",
        kind: Kind::Upi { consent: true },
        exceptions,
        ..penny_drop()
    }
}

fn vpa_lookup() -> Profile {
    let mut exceptions = lookup_exceptions();
    exceptions.extend(without_words(
        [Scenario::Nre, Scenario::Fraud],
        Scenario::Valid,
    ));
    exceptions.extend([
        changed(Scenario::Inconclusive, is_lost_without_cost, "HTTP 502"),
        changed(Scenario::Technical, is_lost_without_cost, "HTTP 502"),
        absent(Scenario::UnknownCode, "Razorpay reports success or not"),
    ]);
    Profile {
        flow: "vpa lookup",
        // Only the payment gateway.
        settings: json!({}),
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        reports: Reports::AtOnce,
        has_ids: false,
        reports_utr: ReportsUtr::Never,
        webhooks: Webhooks::None("Razorpay's events are about validations"),
        exceptions,
        ..penny_drop()
    }
}

fn outcomes() -> Vec<Exception> {
    let mut exceptions = Vec::from(without_words(
        [Scenario::Nre, Scenario::Fraud],
        Scenario::Valid,
    ));
    exceptions.push(changed(
        Scenario::Blocked,
        |story| {
            let frozen = Some(FailureCode::AccountFrozen);
            story.action = Action::Complete(Outcome::Invalid, frozen);
        },
        "Razorpay says that the account is frozen",
    ));
    exceptions.push(changed(
        Scenario::Technical,
        |story| story.action = Action::Again(Duration::from_mins(30)),
        "Razorpay asks for 30 minutes",
    ));
    exceptions
}
