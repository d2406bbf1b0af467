//! The connectors under test, each in each of its flows. A gateway more is a file more, and a line in [`subjects`]: what is
//! its own is said there, and why.

mod cashfree;
mod decentro;
mod payu;
mod razorpay;
mod setu;

use std::time::Duration;

use khata_domain::{Gateway, Method, Recovery};
use serde_json::Value;

use crate::row::Row;
use crate::story::Story;

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
    /// The waits of its polling, where nothing is set.
    pub(crate) polls: [Duration; 4],
    /// Whether its answers have ids of its own.
    pub(crate) has_ids: bool,
    /// When the reference of the rupee's transaction is told.
    pub(crate) tells_utr: TellsUtr,
    pub(crate) gateway_webhooks: CallBacks,
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

/// Where a gateway says nothing of its own (NPCI, 2025).
const NPCI: [Duration; 4] = [
    Duration::from_secs(90),
    Duration::from_mins(15),
    Duration::from_mins(100),
    Duration::from_hours(6),
];

/// All of them.
pub(crate) fn subjects() -> Vec<Subject> {
    [
        cashfree::subjects(),
        razorpay::subjects(),
        setu::subjects(),
        decentro::subjects(),
        payu::subjects(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const FREE: &str = "it costs nothing";
const KNOWS_NO_PENDING: &str = "it knows no pending";

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
