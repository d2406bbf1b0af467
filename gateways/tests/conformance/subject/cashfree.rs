//! Cashfree: bank accounts in both flows, UPI addresses by penny drop and by look-up.

use std::time::Duration;

use khata_domain::{Class, Gateway, Method, Recovery};
use serde_json::json;

use super::{
    CallBacks, FREE, KNOWS_NO_PENDING, Kind, NPCI, Own, Subject, Tells, TellsUtr, addresses_only,
    by, hasnt, like, without_words,
};
use crate::row::{Row, is_lost_for_nothing, stays_lost};
use crate::story::Word;

/// Its flows.
pub(super) fn subjects() -> Vec<Subject> {
    vec![
        asynchronous(),
        synchronous(),
        upi_penny_drop(),
        upi_look_up(),
    ]
}

fn asynchronous() -> Subject {
    Subject {
        gateway: Gateway::Cashfree,
        flow: "async",
        path: "/cashfree/verification",
        credentials: json!({"client_id": "sandbox_client", "client_secret": "sandbox_secret"}),
        secret: "/client_secret",
        settings: json!({"bank_flow": "async"}),
        kind: Kind::Bank,
        method: Method::PennyDrop,
        recovery: Recovery::Lookup,
        tells: Tells::Later,
        polls: NPCI,
        has_ids: true,
        tells_utr: TellsUtr::OfValid,
        gateway_webhooks: CallBacks::Signed {
            header: "x-webhook-signature",
            good_for: Some(Duration::from_mins(5)),
            remember: |credentials, old| credentials["previous_client_secret"] = old.into(),
        },
        own: vec![
            like(Row::Closed, Row::Invalid, CLOSED),
            by(
                Row::Balance,
                |story| {
                    story.heard.insert(0, Word::Said(Class::Pending));
                    story.record.reference = true;
                },
                "an asynchronous call is received first, and ends as REJECTED",
            ),
        ],
    }
}

fn synchronous() -> Subject {
    Subject {
        flow: "sync",
        settings: json!({"bank_flow": "sync"}),
        recovery: Recovery::None,
        tells: Tells::AtOnce,
        gateway_webhooks: CallBacks::None("a synchronous call has no reference to call back by"),
        own: vec![like(Row::Closed, Row::Invalid, CLOSED)],
        ..asynchronous()
    }
}

const CLOSED: &str = "its one word for it is INVALID_ACCOUNT_FAIL";

fn upi_penny_drop() -> Subject {
    let mut own = upi();
    own.push(by(
        Row::Technical,
        stays_lost,
        "HTTP 502, and the address is not found by a look",
    ));
    Subject {
        flow: "upi drop",
        kind: Kind::Upi { consent: true },
        tells: Tells::AtOnce,
        gateway_webhooks: CallBacks::None("its events are about bank accounts"),
        own,
        ..asynchronous()
    }
}

fn upi_look_up() -> Subject {
    let mut own = upi();
    own.push(by(Row::Technical, is_lost_for_nothing, "HTTP 502"));
    own.push(like(Row::Balance, Row::Valid, FREE));
    Subject {
        flow: "upi look",
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        tells_utr: TellsUtr::Never,
        own,
        ..upi_penny_drop()
    }
}

fn upi() -> Vec<Own> {
    let mut own = addresses_only();
    own.extend(without_words([Row::Nre, Row::Fraud], Row::Invalid));
    own.extend([
        by(
            Row::Inconclusive,
            |story| {
                story.record.reference = false;
                story.rupees = 0;
            },
            "HTTP 422 bene_bank_declined: the call is refused",
        ),
        hasnt(
            Row::UnknownCode,
            "the sandbox tells no unknown status of addresses",
        ),
        like(Row::PendingThenValid, Row::Valid, KNOWS_NO_PENDING),
        like(Row::PendingThenInvalid, Row::Invalid, KNOWS_NO_PENDING),
        like(
            Row::PendingForever,
            Row::Technical,
            "an address is answered at once, or not at all",
        ),
        like(Row::TooManyLooks, Row::Valid, KNOWS_NO_PENDING),
    ]);
    own
}
