//! The configuration and the state of the deliveries.

use khata_domain::events::DeliveryState;

use crate::time::Seconds;

/// How often each fault may happen on one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeliveryFaults {
    pub crashes: u8,
    pub pauses: u8,
    /// The endpoint accepts the event, and its reply is lost.
    pub lost_replies: u8,
    /// The endpoint replies 500.
    pub failures: u8,
}

/// A part of the protocol that a configuration takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryRepair {
    /// Only the first open delivery of an account is claimed (`claim`, `order by h.version limit 1`).
    InOrder,
    /// An attempt without a result is repeated (`claim`, `started_at < now() - …`).
    LostRepeated,
    /// A result changes an open delivery only (`settle`, `IS_OPEN`).
    EndIsFinal,
    /// The transaction of a change writes its delivery (`events::record`).
    WrittenWithChange,
}

impl DeliveryRepair {
    pub const ALL: [Self; 4] = [
        Self::InOrder,
        Self::LostRepeated,
        Self::EndIsFinal,
        Self::WrittenWithChange,
    ];

    /// Returns the property that the deliveries without this repair must break.
    pub fn broken_without(self) -> &'static str {
        match self {
            Self::InOrder => "an endpoint gets the events of an account in order",
            Self::LostRepeated | Self::WrittenWithChange => "every event is delivered",
            Self::EndIsFinal => "a delivery that ended stays ended",
        }
    }
}

/// One configuration of the deliveries.
#[derive(Clone, Debug)]
pub struct Deliveries {
    pub faults: DeliveryFaults,
    pub without: Option<DeliveryRepair>,
}

/// A row of `webhook_deliveries`, and what the endpoint has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    pub state: DeliveryState,
    pub due_at: Seconds,
    pub started_at: Option<Seconds>,
    pub attempts: i16,
    pub failures: usize,
    /// Copies that the endpoint has accepted.
    pub copies: u8,
}

/// The worker that makes the calls of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub worker: usize,
    /// `None` while the worker renews the ownership.
    pub until: Option<Seconds>,
    pub is_killed: bool,
}

/// A call of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub worker: usize,
    /// Index of the delivery.
    pub delivery: usize,
    pub number: i16,
    /// When it ends, and whether the worker got a success; `None` until it is sent.
    pub ended: Option<(Seconds, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryStates {
    pub now: Seconds,
    pub deliveries: Vec<Delivery>,
    /// Committed changes.
    pub events: usize,
    /// Changes whose delivery no process writes any more.
    pub forgotten: usize,
    pub owner: Option<Owner>,
    pub calls: Vec<Call>,
    pub paused: [bool; 2],
    pub left: DeliveryFaults,
    pub has_gone_back: bool,
    pub is_out_of_order: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryAction {
    /// A transaction changes the account.
    Change,
    /// The delivery of a change is written: a separate step only without [`DeliveryRepair::WrittenWithChange`].
    Write,
    Acquire {
        worker: usize,
    },
    Claim,
    Call {
        call: usize,
        fate: DeliveryFate,
    },
    Settle {
        call: usize,
    },
    Wait,
    Crash {
        worker: usize,
    },
    Pause {
        worker: usize,
    },
    Resume {
        worker: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFate {
    Accepted,
    ReplyLost,
    Failed,
}
