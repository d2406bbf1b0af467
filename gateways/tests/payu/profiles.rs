//! PayU: bank accounts by payouts' penny test, UPI addresses by the payment gateway's lookup.

use khata_domain::{Gateway, Method, Recovery};
use serde_json::json;

use crate::conformance::profile::{
    Kind, NPCI, Profile, Reports, ReportsUtr, Webhooks, absent, changed, lookup_exceptions,
    without_words,
};
use crate::conformance::rules::{is_lost_without_cost, stays_lost};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::{Name, Story};

/// Returns a profile per flow.
pub(crate) fn profiles() -> Vec<Profile> {
    vec![bank(), vpa()]
}

fn bank() -> Profile {
    let mut exceptions = Vec::from(without_words(
        [
            Scenario::Closed,
            Scenario::Blocked,
            Scenario::Nre,
            Scenario::Fraud,
            Scenario::Inconclusive,
        ],
        Scenario::Invalid,
    ));
    exceptions.extend([
        changed(
            Scenario::InvalidIfsc,
            |story| story.rupees = 0,
            "code 1005, before anything moves",
        ),
        changed(Scenario::Technical, stays_lost, "HTTP 500, for every call"),
        changed(
            Scenario::UnknownCode,
            |story| story.record.name = Name::Missing,
            "the name in any reply but YES is the one that was sent",
        ),
    ]);
    exceptions.extend(
        [
            Scenario::PendingThenValid,
            Scenario::ErrorAfter,
            Scenario::Reset,
            Scenario::Hang,
            Scenario::Malformed,
            Scenario::WorkerKilled,
            Scenario::TooManyRecoveries,
            Scenario::CredentialsRevoked,
        ]
        .map(|scenario| changed(scenario, is_found_by_a_lookup, FOUND)),
    );
    exceptions.extend(
        [Scenario::PendingThenInvalid, Scenario::PendingForever]
            .map(|scenario| changed(scenario, |story| story.record.reference = true, FOUND)),
    );
    Profile {
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
        reports: Reports::AtOnce,
        polls: NPCI,
        has_ids: false,
        reports_utr: ReportsUtr::Never,
        webhooks: Webhooks::None("PayU's webhooks are about transfers, and not signed"),
        decides: &[
            "accountExists",
            "status",
            "isVPAValid",
            "txnStatus",
            "merchantRefId",
            "msg",
        ],
        holders: &["data", "transactionDetails"],
        exceptions,
    }
}

const FOUND: &str = "the id and the UTR are those of the transfer, which a lookup finds";

fn is_found_by_a_lookup(story: &mut Story) {
    story.record.reference = true;
    story.record.utr = true;
}

fn vpa() -> Profile {
    let mut exceptions = lookup_exceptions();
    exceptions.extend(without_words([Scenario::Nre], Scenario::Valid));
    exceptions.extend(without_words(
        [Scenario::Fraud, Scenario::Inconclusive],
        Scenario::Invalid,
    ));
    exceptions.extend([
        changed(Scenario::Technical, is_lost_without_cost, "HTTP 500"),
        absent(Scenario::UnknownCode, "PayU reports 1 or 0"),
    ]);
    Profile {
        flow: "vpa",
        credentials: json!({"key": "payu_sandbox_key", "salt": "payu_sandbox_salt"}),
        secret: "/salt",
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        exceptions,
        ..bank()
    }
}
