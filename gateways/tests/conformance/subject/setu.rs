//! Setu: bank accounts in both flows, UPI addresses by UMAP.

use std::time::Duration;

use khata_domain::{Class, Gateway, Method, Recovery};
use serde_json::json;

use super::{
    CallBacks, FREE, Kind, NPCI, Subject, Tells, TellsUtr, addresses_only, by, hasnt, like,
    without_words,
};
use crate::row::{AGAIN, Row, says};
use crate::story::{Action, Story};

/// Its flows.
pub(super) fn subjects() -> Vec<Subject> {
    vec![asynchronous(), synchronous(), umap()]
}

fn asynchronous() -> Subject {
    Subject {
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
        tells: Tells::Later,
        polls: NPCI,
        has_ids: true,
        tells_utr: TellsUtr::OfValid,
        gateway_webhooks: CallBacks::Hint,
        own: Vec::new(),
    }
}

fn synchronous() -> Subject {
    Subject {
        flow: "sync",
        settings: json!({"bank_flow": "sync"}),
        tells: Tells::AtOnce,
        gateway_webhooks: CallBacks::None("only asynchronous calls are called back about"),
        ..asynchronous()
    }
}

fn umap() -> Subject {
    let mut own = addresses_only();
    own.extend(without_words([Row::Nre], Row::Valid));
    own.extend(without_words([Row::Fraud], Row::Invalid));
    own.extend(without_words([Row::Inconclusive], Row::Technical));
    own.extend([
        hasnt(
            Row::UnknownCode,
            "the sandbox tells no unknown status of addresses",
        ),
        by(Row::ErrorBefore, says_it_failed, LOOKS_ARE_FREE),
        by(Row::ErrorAfter, says_it_failed, LOOKS_ARE_FREE),
        like(Row::Balance, Row::Valid, FREE),
    ]);
    Subject {
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
        tells_utr: TellsUtr::Never,
        gateway_webhooks: CallBacks::Signed {
            header: "x-setu-signature",
            good_for: Some(Duration::from_hours(24)),
            remember: |credentials, old| {
                if let Some(secrets) = credentials["webhook_secrets"].as_array_mut() {
                    secrets.push(old.into());
                }
            },
        },
        own,
        ..asynchronous()
    }
}

const LOOKS_ARE_FREE: &str = "a look-up that failed is simply made again";

fn says_it_failed(story: &mut Story) {
    says(story, Class::Retryable, Action::Again(AGAIN));
}
