//! Scenarios: the gateways, the faults that may happen, and the repair that is taken out.

use std::time::Duration;

use khata_domain::validation::PollSchedule;
use khata_domain::{Class, LateCalls, Recovery};

use crate::time::Seconds;

/// Lease of a claim: the default of `KHATA_WORKER_LEASE_SECONDS`.
pub const LEASE: Seconds = 30;
/// Part of the lease that the worker reserves for settling: `SETTLE_RESERVE` in `worker/src/processor.rs`.
pub const SETTLE_RESERVE: Seconds = 2;
/// Time-out of a call; two fit into the lease.
pub const CALL_TIMEOUT: Seconds = 10;
/// Interval of the polls for a pending outcome.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Time that a merchant's validation may take (48 h by default). Half an hour is longer than every path that should end earlier.
pub const DEADLINE: Seconds = 1_800;

/// Kind of a gateway: its recovery after a lost response, and its reaction to a second use of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayKind {
    /// CASHFREE, asynchronous: looks calls up, and performs a repeated one.
    Lookup,
    /// DECENTRO: looks calls up, and refuses a repeated one.
    RefusesRepeats,
    /// RAZORPAY: a repeated call gets the result of the first one.
    Resubmit,
    /// SETU: no way to find out.
    None,
}

/// A gateway account of the merchant.
#[derive(Clone)]
pub struct ScriptedGateway {
    pub kind: GatewayKind,
    /// The final response to each call that the gateway receives.
    pub script: Class,
    /// Time for which the gateway responds "pending".
    pub pending_for: Seconds,
    pub polling: PollSchedule,
}

impl ScriptedGateway {
    fn new(kind: GatewayKind, script: Class, pending_for: Seconds) -> Self {
        let polling = PollSchedule::new(vec![POLL_INTERVAL]);
        #[allow(clippy::expect_used)] // The list has an entry.
        let polling = polling.expect("a schedule with one delay");
        Self {
            kind,
            script,
            pending_for,
            polling,
        }
    }

    /// A gateway that responds at once.
    pub fn valid(kind: GatewayKind) -> Self {
        Self::new(kind, Class::Valid, 0)
    }

    /// A gateway that responds "pending" first, and sends its outcome as a webhook too.
    pub fn pending(kind: GatewayKind) -> Self {
        Self::new(kind, Class::Valid, 20)
    }

    /// A gateway that decides nothing.
    pub fn undecided(kind: GatewayKind) -> Self {
        Self::new(kind, Class::Inconclusive, 0)
    }

    pub fn recovery(&self) -> Recovery {
        match self.kind {
            GatewayKind::Lookup | GatewayKind::RefusesRepeats => Recovery::Lookup,
            GatewayKind::Resubmit => Recovery::Resubmit,
            GatewayKind::None => Recovery::None,
        }
    }

    /// Returns the settling time that the product uses. `without`: the repair that is taken out.
    pub fn late_calls(&self, without: Option<Repair>) -> LateCalls {
        let mut late = LateCalls {
            refuses_repeats: self.kind == GatewayKind::RefusesRepeats,
            ..LateCalls::default()
        };
        if without == Some(Repair::SettlingTime) {
            late.settles_after = Duration::ZERO;
        }
        late
    }
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The gateway receives it, and its response arrives.
    Responded,
    /// The gateway receives it, and its response is lost.
    ResponseLost,
    /// The gateway never receives it.
    RequestLost,
    /// The worker's time-out passes, and the gateway receives it later, within the settling time.
    Late,
    /// The gateway receives it, and its response contradicts itself.
    Unclear,
    /// The gateway does not know a call that it has accepted.
    Forgotten,
    /// The connection is refused.
    Refused,
    /// The gateway rejects it unread, because of too many calls.
    Rejected,
}

/// How often each fault may happen on one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A worker is killed and started again.
    pub crashes: u8,
    /// A worker is paused between two steps, and goes on at any later time.
    pub pauses: u8,
    /// A call gets another fate than a response.
    pub calls: u8,
    /// A call arrives late.
    pub late_calls: u8,
    pub lost_wakeups: u8,
    pub repeated_wakeups: u8,
    /// A webhook with the outcome arrives, at any time after the gateway has decided.
    pub webhooks: u8,
    /// A webhook without an outcome arrives.
    pub hints: u8,
    /// The merchant validates again.
    pub again: u8,
    /// The merchant deletes the account.
    pub deletions: u8,
    /// An operator disables the first gateway account.
    pub disabled: u8,
}

/// A part of the protocol that a scenario takes out, to show that the checker finds what it prevents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repair {
    /// A lookup that does not find a call is believed after the settling time only (`LateCalls::settles_after`).
    SettlingTime,
    /// A lookup says what the gateway knew when the lookup was made, and not when the worker decides (`AttemptContext::called_at`).
    LookupTime,
    /// A call that the worker did not send does not count as lost (`processor.rs`, "the lease ends too soon").
    UnsentIsNotLost,
    /// A validation without a permitted attempt ends, instead of waiting for its deadline (`choose.rs`, `no_candidate`).
    ExhaustedEnds,
    /// Each claim reads the stored webhooks, also those that an earlier claim has seen (`related.rs`, `webhooks`).
    WebhooksReadAgain,
    /// A settlement that would end without an outcome makes another step if a webhook has arrived (`settle.rs`, `after_webhooks`).
    WebhookBeforeEnd,
    /// Only the holder of the lease settles (`settle.rs`, `v.lease_token = i.lease_token`).
    LeaseToken,
    /// The attempt's row is committed before its call (`attempt.rs`, `start_attempts`).
    AttemptRowFirst,
    /// A repeated call uses the reference of the first one.
    ReferenceReused,
    /// The scheduler publishes wake-ups for due rows and takes back expired leases (`due.rs`).
    Scheduler,
    /// The scheduler repeats wake-ups that led to no claim. Without it, a message that is acknowledged before its work is stored is
    /// the only record of it.
    LostWakeupsRepeated,
    /// An unfinished attempt is recovered before a new one is made (`plan.rs`, `unfinished`).
    Recovery,
    /// After a lost response, the next call waits for the recovery (`validation.rs`, `after_failure`).
    LostIsNotUnsent,
    /// Only a validation that is DUE is claimed (`claim.rs`, `lock_due`).
    DueOnly,
    /// An account that was deleted stays DELETED (`settle.rs`, `a.status <> 'DELETED'`).
    DeletedStays,
    /// An account follows only its newest validation (`settle.rs`, `a.validation_id = s.id`).
    NewestOnly,
}

impl Repair {
    pub const ALL: [Self; 16] = [
        Self::SettlingTime,
        Self::LookupTime,
        Self::UnsentIsNotLost,
        Self::ExhaustedEnds,
        Self::WebhooksReadAgain,
        Self::WebhookBeforeEnd,
        Self::LeaseToken,
        Self::AttemptRowFirst,
        Self::ReferenceReused,
        Self::Scheduler,
        Self::LostWakeupsRepeated,
        Self::Recovery,
        Self::LostIsNotUnsent,
        Self::DueOnly,
        Self::DeletedStays,
        Self::NewestOnly,
    ];
}

/// One configuration of the model.
#[derive(Clone)]
pub struct Scenario {
    pub name: String,
    pub gateways: Vec<ScriptedGateway>,
    pub faults: Faults,
    /// The fates that calls may have beside a response.
    pub fates: &'static [Fate],
    /// A worker may be paused between its check of the lease and the write to the socket.
    pub pauses_at_socket: bool,
    /// The merchant may validate again although the newest validation is open. The product rejects this (`validate_again`).
    pub again_while_open: bool,
    pub without: Option<Repair>,
    /// Time by which each validation has its outcome, from its begin.
    pub ends_within: Seconds,
}

impl Scenario {
    /// Whether a repair is taken out.
    pub fn lacks(&self, repair: Repair) -> bool {
        self.without == Some(repair)
    }
}
