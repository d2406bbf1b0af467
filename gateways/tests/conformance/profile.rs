//! A connector's profile: how the conformance suite reaches it, and where it differs from the rules.

use std::time::Duration;

use khata_domain::{Gateway, Method, Recovery};
use serde_json::Value;

use crate::conformance::scenario::Scenario;
use crate::conformance::story::Story;

/// A connector in one of its flows, and its expected behaviour.
pub(crate) struct Profile {
    pub(crate) gateway: Gateway,
    /// Name of the flow, for the summary.
    pub(crate) flow: &'static str,
    /// Path of the gateway at the sandbox.
    pub(crate) path: &'static str,
    pub(crate) credentials: Value,
    /// JSON pointer to the secret within the credentials.
    pub(crate) secret: &'static str,
    pub(crate) settings: Value,
    pub(crate) kind: Kind,
    /// The eligible method.
    pub(crate) method: Method,
    pub(crate) recovery: Recovery,
    pub(crate) reports: Reports,
    /// Default poll intervals.
    pub(crate) polls: [Duration; 4],
    /// Whether responses have ids of the gateway's own.
    pub(crate) has_ids: bool,
    /// When responses hold the UTR.
    pub(crate) reports_utr: ReportsUtr,
    pub(crate) webhooks: Webhooks,
    /// Names of the fields that decide about the outcome, or to which call a message belongs. A change of any other field keeps the
    /// outcome.
    pub(crate) decides: &'static [&'static str],
    /// Names of the objects that hold them.
    pub(crate) holders: &'static [&'static str],
    /// Scenarios in which the gateway differs from the rule.
    pub(crate) exceptions: Vec<Exception>,
}

/// Kind of the account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bank,
    Upi { consent: bool },
}

/// When the gateway reports the outcome of an ordinary account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reports {
    /// In the response to the call.
    AtOnce,
    /// In the response to a poll.
    Later,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportsUtr {
    Never,
    /// For valid accounts.
    IfValid,
    /// For every outcome.
    Always,
}

/// Webhooks of the gateway.
pub(crate) enum Webhooks {
    /// None, for this reason.
    None(&'static str),
    /// Unsigned events that only report that an outcome exists.
    Hint,
    /// Signed events with the outcome.
    Signed {
        /// Name of the header that holds the signature.
        header: &'static str,
        /// Maximum age of the signed time; `None` if no time is signed.
        max_age: Option<Duration>,
        /// Adds an earlier secret to the credentials.
        add_old_secret: fn(&mut Value, &str),
        /// Returns the headers of an event with this body, signed now.
        sign: fn(&[u8]) -> Vec<(String, String)>,
    },
}

/// A scenario in which a connector differs from the rule.
pub(crate) struct Exception {
    pub(crate) scenario: Scenario,
    pub(crate) difference: Difference,
    pub(crate) reason: &'static str,
}

/// Kind of difference.
pub(crate) enum Difference {
    /// The scenario does not exist at this gateway.
    Absent,
    /// The rule's story, changed by this function.
    Changed(fn(&mut Story)),
    /// The story of another scenario at this gateway.
    Like(Scenario),
}

impl Profile {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.gateway, self.flow)
    }

    pub(crate) fn exception(&self, scenario: Scenario) -> Option<&Exception> {
        let mut exceptions = self.exceptions.iter();
        exceptions.find(|exception| exception.scenario == scenario)
    }
}

/// Poll intervals of a gateway without a rule of its own (NPCI, 2025).
pub(crate) const NPCI: [Duration; 4] = [
    Duration::from_secs(90),
    Duration::from_mins(15),
    Duration::from_mins(100),
    Duration::from_hours(6),
];

pub(crate) const STATUS_DECIDES: &str = "the status beside the unknown code decides";
pub(crate) const COSTS_NOTHING: &str = "the call costs nothing";
pub(crate) const NEVER_PENDING: &str = "the gateway is never pending";

pub(crate) fn absent(scenario: Scenario, reason: &'static str) -> Exception {
    Exception {
        scenario,
        difference: Difference::Absent,
        reason,
    }
}

pub(crate) fn changed(
    scenario: Scenario,
    change: fn(&mut Story),
    reason: &'static str,
) -> Exception {
    Exception {
        scenario,
        difference: Difference::Changed(change),
        reason,
    }
}

pub(crate) fn like(scenario: Scenario, other: Scenario, reason: &'static str) -> Exception {
    Exception {
        scenario,
        difference: Difference::Like(other),
        reason,
    }
}

/// Exceptions for outcomes that the gateway has no word for: it reports this one instead.
pub(crate) fn without_words<const N: usize>(
    scenarios: [Scenario; N],
    other: Scenario,
) -> [Exception; N] {
    scenarios.map(|scenario| like(scenario, other, "the gateway has no word for it"))
}

/// Exceptions of a lookup that returns the outcome at once.
pub(crate) fn lookup_exceptions() -> Vec<Exception> {
    let mut exceptions = address_exceptions();
    exceptions.extend([
        like(Scenario::PendingThenValid, Scenario::Valid, NEVER_PENDING),
        like(
            Scenario::PendingThenInvalid,
            Scenario::Invalid,
            NEVER_PENDING,
        ),
        like(Scenario::PendingForever, Scenario::Valid, NEVER_PENDING),
        like(Scenario::TooManyPolls, Scenario::Valid, NEVER_PENDING),
        like(Scenario::Balance, Scenario::Valid, COSTS_NOTHING),
    ]);
    exceptions
}

/// Exceptions of UPI addresses.
pub(crate) fn address_exceptions() -> Vec<Exception> {
    [Scenario::InvalidIfsc, Scenario::Closed, Scenario::Blocked]
        .map(|scenario| absent(scenario, "a state of bank accounts, not of addresses"))
        .into()
}
