//! The connectors under test, each with the flow it is tested in. A gateway more is an entry more: what is its own is
//! said here, and why.

use std::time::Duration;

use khata_shared::domain::{Class, Gateway, Method, Recovery};
use serde_json::{Value, json};

use crate::row::{AGAIN, Row, is_lost_for_nothing, says, stays_lost};
use crate::story::{Action, Name, Story, Word};

/// A connector in one of its flows.
pub(crate) struct Subject {
    pub(crate) gateway: Gateway,
    /// Which flow, for the summary.
    pub(crate) flow: &'static str,
    /// Where the gateway is, below the sandbox's address.
    pub(crate) path: &'static str,
    pub(crate) credentials: Value,
    /// Which of the credentials is the secret.
    pub(crate) secret: &'static str,
    pub(crate) settings: Value,
    pub(crate) kind: Kind,
    /// The method that is fit for the kind.
    pub(crate) method: Method,
    pub(crate) recovery: Recovery,
    pub(crate) tells: Tells,
    /// The first two waits of its polling, where nothing is set.
    pub(crate) polls: [Duration; 2],
    /// Whether its answers have ids of its own.
    pub(crate) has_ids: bool,
    /// When the reference of the rupee's transaction is told.
    pub(crate) tells_utr: TellsUtr,
    pub(crate) call_backs: CallBacks,
    /// Where it honestly differs from the rule.
    pub(crate) own: Vec<Own>,
}

/// What is validated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bank,
    Upi { consent: bool },
}

/// When the outcome of an account that is neither slow nor odd is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// In the answer to the call.
    AtOnce,
    /// When it is asked for.
    Later,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TellsUtr {
    Never,
    /// Of accounts that are valid.
    OfValid,
    /// Whatever the outcome.
    Always,
}

/// What the gateway calls back with.
pub(crate) enum CallBacks {
    /// Nothing, for this reason.
    None(&'static str),
    /// That there is an outcome, under no signature.
    Hint,
    /// The outcome, signed.
    Signed {
        /// The header that holds the signature.
        header: &'static str,
        /// How old the signed time may be; none where no time is signed.
        good_for: Option<Duration>,
        /// Adds a secret that was used before to the credentials.
        remember: fn(&mut Value, &str),
    },
}

/// How one row differs at one connector.
pub(crate) struct Own {
    pub(crate) row: Row,
    pub(crate) differs: Differs,
    pub(crate) why: &'static str,
}

/// In which way.
pub(crate) enum Differs {
    /// There is no such thing.
    Hasnt,
    /// The rule's story, changed by this.
    By(fn(&mut Story)),
    /// It is as this row is, by its rule or as it is here.
    Like(Row),
}

impl Subject {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.gateway, self.flow)
    }

    pub(crate) fn own(&self, row: Row) -> Option<&Own> {
        self.own.iter().find(|own| own.row == row)
    }
}

const NPCI: [Duration; 2] = [Duration::from_secs(90), Duration::from_mins(15)];

/// All of them.
pub(crate) fn subjects() -> Vec<Subject> {
    vec![
        cashfree_async(),
        cashfree_sync(),
        cashfree_upi_penny_drop(),
        cashfree_upi_look_up(),
        razorpay_penny_drop(),
        razorpay_penniless(),
        razorpay_vpa_penny_drop(),
        razorpay_vpa_look_up(),
        setu_async(),
        setu_sync(),
        setu_umap(),
        decentro_penny_drop(),
        decentro_penniless(),
        payu_bank(),
        payu_vpa(),
    ]
}

// --- Cashfree -----------------------------------------------------------------------------------------------------

fn cashfree_async() -> Subject {
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
        call_backs: CallBacks::Signed {
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

fn cashfree_sync() -> Subject {
    Subject {
        flow: "sync",
        settings: json!({"bank_flow": "sync"}),
        recovery: Recovery::None,
        tells: Tells::AtOnce,
        call_backs: CallBacks::None("a synchronous call has no reference to call back by"),
        own: vec![like(Row::Closed, Row::Invalid, CLOSED)],
        ..cashfree_async()
    }
}

const CLOSED: &str = "its one word for it is INVALID_ACCOUNT_FAIL";

fn cashfree_upi_penny_drop() -> Subject {
    let mut own = cashfree_upi();
    own.push(by(
        Row::Technical,
        stays_lost,
        "HTTP 502, and the address is not found by a look",
    ));
    Subject {
        flow: "upi drop",
        kind: Kind::Upi { consent: true },
        tells: Tells::AtOnce,
        call_backs: CallBacks::None("its events are about bank accounts"),
        own,
        ..cashfree_async()
    }
}

fn cashfree_upi_look_up() -> Subject {
    let mut own = cashfree_upi();
    own.push(by(Row::Technical, is_lost_for_nothing, "HTTP 502"));
    own.push(like(Row::Balance, Row::Valid, FREE));
    Subject {
        flow: "upi look",
        kind: Kind::Upi { consent: false },
        method: Method::VpaLookup,
        tells_utr: TellsUtr::Never,
        own,
        ..cashfree_upi_penny_drop()
    }
}

const FREE: &str = "it costs nothing";
const KNOWS_NO_PENDING: &str = "it knows no pending";

fn cashfree_upi() -> Vec<Own> {
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

// --- Razorpay -----------------------------------------------------------------------------------------------------

fn razorpay_penny_drop() -> Subject {
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
        call_backs: CallBacks::Signed {
            header: "x-razorpay-signature",
            good_for: None,
            remember: |credentials, old| {
                if let Some(secrets) = credentials["webhook_secrets"].as_array_mut() {
                    secrets.push(old.into());
                }
            },
        },
        own: razorpay_outcomes(),
    }
}

fn razorpay_penniless() -> Subject {
    let mut own = razorpay_outcomes();
    own.push(like(Row::Balance, Row::Valid, FREE));
    Subject {
        flow: "penniless",
        settings: json!({"source_account_number": "7878780080316316", "methods": ["PENNILESS"]}),
        method: Method::Penniless,
        tells_utr: TellsUtr::Never,
        own,
        ..razorpay_penny_drop()
    }
}

fn razorpay_vpa_penny_drop() -> Subject {
    let mut own = razorpay_outcomes();
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
        ..razorpay_penny_drop()
    }
}

fn razorpay_vpa_look_up() -> Subject {
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
        call_backs: CallBacks::None("its events are about validations"),
        own,
        ..razorpay_penny_drop()
    }
}

fn razorpay_outcomes() -> Vec<Own> {
    let mut own = Vec::from(without_words([Row::Nre, Row::Fraud], Row::Valid));
    own.push(by(
        Row::Technical,
        |story| story.action = Action::Again(Duration::from_mins(30)),
        "Razorpay asks for 30 minutes",
    ));
    own
}

// --- Setu ---------------------------------------------------------------------------------------------------------

fn setu_async() -> Subject {
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
        call_backs: CallBacks::Hint,
        own: Vec::new(),
    }
}

fn setu_sync() -> Subject {
    Subject {
        flow: "sync",
        settings: json!({"bank_flow": "sync"}),
        tells: Tells::AtOnce,
        call_backs: CallBacks::None("only asynchronous calls are called back about"),
        ..setu_async()
    }
}

fn setu_umap() -> Subject {
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
        polls: [Duration::from_secs(5), Duration::from_secs(30)],
        tells_utr: TellsUtr::Never,
        call_backs: CallBacks::Signed {
            header: "x-setu-signature",
            good_for: Some(Duration::from_hours(24)),
            remember: |credentials, old| {
                if let Some(secrets) = credentials["webhook_secrets"].as_array_mut() {
                    secrets.push(old.into());
                }
            },
        },
        own,
        ..setu_async()
    }
}

const LOOKS_ARE_FREE: &str = "a look-up that failed is simply made again";

fn says_it_failed(story: &mut Story) {
    says(story, Class::Retryable, Action::Again(AGAIN));
}

// --- Decentro -----------------------------------------------------------------------------------------------------

fn decentro_penny_drop() -> Subject {
    let mut own = decentro_outcomes();
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
        call_backs: CallBacks::None("it calls nobody back"),
        own,
    }
}

fn decentro_penniless() -> Subject {
    let mut own = decentro_outcomes();
    own.push(by(Row::Technical, is_lost_for_nothing, PROVIDER_ERROR));
    Subject {
        flow: "penniless",
        settings: json!({"methods": ["PENNILESS"]}),
        method: Method::Penniless,
        tells_utr: TellsUtr::Never,
        own,
        ..decentro_penny_drop()
    }
}

const PROVIDER_ERROR: &str = "HTTP 500 error_provider_error, and the call is not found by a look";

fn decentro_outcomes() -> Vec<Own> {
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

// --- PayU ---------------------------------------------------------------------------------------------------------

fn payu_bank() -> Subject {
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
        call_backs: CallBacks::None("its call-backs are about transfers, and not signed"),
        own,
    }
}

const FOUND: &str = "its id and UTR are those of the transfer, which a look finds";

fn is_found_by_a_look(story: &mut Story) {
    story.record.reference = true;
    story.record.utr = true;
}

fn payu_vpa() -> Subject {
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
        ..payu_bank()
    }
}

// --- what several have in common ----------------------------------------------------------------------------------

fn hasnt(row: Row, why: &'static str) -> Own {
    Own {
        row,
        differs: Differs::Hasnt,
        why,
    }
}

fn by(row: Row, change: fn(&mut Story), why: &'static str) -> Own {
    Own {
        row,
        differs: Differs::By(change),
        why,
    }
}

fn like(row: Row, other: Row, why: &'static str) -> Own {
    Own {
        row,
        differs: Differs::Like(other),
        why,
    }
}

/// Outcomes that the gateway has no word for, and says this one instead.
fn without_words<const N: usize>(rows: [Row; N], other: Row) -> [Own; N] {
    rows.map(|row| like(row, other, "it has no word of its own for it"))
}

/// What a look-up that answers at once does not have.
fn look_ups_only() -> Vec<Own> {
    let mut own = addresses_only();
    own.extend([
        like(Row::PendingThenValid, Row::Valid, KNOWS_NO_PENDING),
        like(Row::PendingThenInvalid, Row::Invalid, KNOWS_NO_PENDING),
        like(Row::PendingForever, Row::Valid, KNOWS_NO_PENDING),
        like(Row::TooManyLooks, Row::Valid, KNOWS_NO_PENDING),
        like(Row::Balance, Row::Valid, FREE),
    ]);
    own
}

/// What an address cannot be.
fn addresses_only() -> Vec<Own> {
    [Row::InvalidIfsc, Row::Closed, Row::Blocked]
        .map(|row| hasnt(row, "said of accounts, not of addresses"))
        .into()
}
