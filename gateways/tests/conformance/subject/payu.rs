//! PayU: bank accounts by payouts' penny test, UPI addresses by the payment gateway's look-up.

use khata_domain::{Gateway, Method, Recovery};
use serde_json::json;

use super::{
    CallBacks, Kind, NPCI, Subject, Tells, TellsUtr, by, hasnt, look_ups_only, without_words,
};
use crate::row::{Row, is_lost_for_nothing, stays_lost};
use crate::story::{Name, Story};

/// Its flows.
pub(super) fn subjects() -> Vec<Subject> {
    vec![bank(), vpa()]
}

fn bank() -> Subject {
    let mut own = Vec::from(without_words(
        [
            Row::Closed,
            Row::Blocked,
            Row::Nre,
            Row::Fraud,
            Row::Inconclusive,
        ],
        Row::Invalid,
    ));
    own.extend([
        by(
            Row::InvalidIfsc,
            |story| story.rupees = 0,
            "code 1005, before anything moves",
        ),
        by(Row::Technical, stays_lost, "HTTP 500, whenever it is asked"),
        by(
            Row::UnknownCode,
            |story| story.record.name = Name::Nobody,
            "a name beside anything but YES is the one that was sent",
        ),
    ]);
    own.extend(
        [
            Row::PendingThenValid,
            Row::ErrorAfter,
            Row::Reset,
            Row::Hang,
            Row::Malformed,
            Row::Killed,
            Row::TooManyRecoveries,
            Row::CredentialsGone,
        ]
        .map(|row| by(row, is_found_by_a_look, FOUND)),
    );
    own.extend(
        [Row::PendingThenInvalid, Row::PendingForever]
            .map(|row| by(row, |story| story.record.reference = true, FOUND)),
    );
    Subject {
        gateway: Gateway::Payu,
        flow: "bank",
        path: "/payu",
        credentials: json!({
            "client_id": "payu_sandbox_client", "client_secret": "payu_sandbox_secret",
            "payout_merchant_id": "1111126",
        }),
        secret: "/client_secret",
        settings: json!({}),
        kind: Kind::Bank,
        method: Method::PennyDrop,
        recovery: Recovery::Resubmit,
        tells: Tells::AtOnce,
        polls: NPCI,
        has_ids: false,
        tells_utr: TellsUtr::Never,
        gateway_webhooks: CallBacks::None("its call-backs are about transfers, and not signed"),
        own,
    }
}

const FOUND: &str = "its id and UTR are those of the transfer, which a look finds";

fn is_found_by_a_look(story: &mut Story) {
    story.record.reference = true;
    story.record.utr = true;
}

fn vpa() -> Subject {
    let mut own = look_ups_only();
    own.extend(without_words([Row::Nre], Row::Valid));
    own.extend(without_words([Row::Fraud, Row::Inconclusive], Row::Invalid));
    own.extend([
        by(Row::Technical, is_lost_for_nothing, "HTTP 500"),
        hasnt(Row::UnknownCode, "it says 1 or 0"),
    ]);
    Subject {
        flow: "vpa",
        credentials: json!({"key": "payu_sandbox_key", "salt": "payu_sandbox_salt"}),
        secret: "/salt",
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        own,
        ..bank()
    }
}
