//! Razorpay: RazorpayX's account validation, and the payment gateway's look-up of a UPI address.

use std::time::Duration;

use khata_domain::{Class, Gateway, Method, Recovery};
use serde_json::json;

use super::{
    CallBacks, FREE, Kind, NPCI, Own, Subject, Tells, TellsUtr, addresses_only, by, hasnt, like,
    look_ups_only, without_words,
};
use crate::row::{AGAIN, Row, is_lost_for_nothing, says};
use crate::story::Action;

/// Its flows.
pub(super) fn subjects() -> Vec<Subject> {
    vec![penny_drop(), penniless(), vpa_penny_drop(), vpa_look_up()]
}

fn penny_drop() -> Subject {
    Subject {
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
        tells: Tells::Later,
        polls: NPCI,
        has_ids: true,
        tells_utr: TellsUtr::OfValid,
        gateway_webhooks: CallBacks::Signed {
            header: "x-razorpay-signature",
            good_for: None,
            remember: |credentials, old| {
                if let Some(secrets) = credentials["webhook_secrets"].as_array_mut() {
                    secrets.push(old.into());
                }
            },
        },
        own: outcomes(),
    }
}

fn penniless() -> Subject {
    let mut own = outcomes();
    own.push(like(Row::Balance, Row::Valid, FREE));
    Subject {
        flow: "penniless",
        settings: json!({"source_account_number": "7878780080316316", "methods": ["PENNILESS"]}),
        method: Method::Penniless,
        tells_utr: TellsUtr::Never,
        own,
        ..penny_drop()
    }
}

fn vpa_penny_drop() -> Subject {
    let mut own = outcomes();
    own.extend(addresses_only());
    own.push(by(
        Row::Invalid,
        |story| says(story, Class::Retryable, Action::Again(AGAIN)),
        "PSPs say so of addresses that exist: it is asked once more",
    ));
    Subject {
        flow: "vpa drop",
        kind: Kind::Upi { consent: true },
        own,
        ..penny_drop()
    }
}

fn vpa_look_up() -> Subject {
    let mut own = look_ups_only();
    own.extend(without_words([Row::Nre, Row::Fraud], Row::Valid));
    own.extend([
        by(Row::Inconclusive, is_lost_for_nothing, "HTTP 502"),
        by(Row::Technical, is_lost_for_nothing, "HTTP 502"),
        hasnt(Row::UnknownCode, "it says success or not"),
    ]);
    Subject {
        flow: "vpa look",
        // The payment gateway alone.
        settings: json!({}),
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        tells: Tells::AtOnce,
        has_ids: false,
        tells_utr: TellsUtr::Never,
        gateway_webhooks: CallBacks::None("its events are about validations"),
        own,
        ..penny_drop()
    }
}

fn outcomes() -> Vec<Own> {
    let mut own = Vec::from(without_words([Row::Nre, Row::Fraud], Row::Valid));
    own.push(by(
        Row::Technical,
        |story| story.action = Action::Again(Duration::from_mins(30)),
        "Razorpay asks for 30 minutes",
    ));
    own
}
