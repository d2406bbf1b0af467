//! The labels of a worker's metrics, and their words.

use khata_domain::words;
use prometheus_client::encoding::EncodeLabelSet;

use crate::directory::Entry;

words! {
    /// Result of a claim.
    ClaimResult {
        /// The worker holds the validation.
        Claimed = "claimed",
        /// Another worker holds it, or it is not due.
        MovedOn = "moved_on",
    }
}

words! {
    /// Result of a settlement.
    SettleResult {
        Completed = "completed",
        Waiting = "waiting",
        /// The lease expired; another worker decides.
        LeaseLost = "lease_lost",
        /// The database rejected the statement.
        Refused = "refused",
        /// The database was unavailable until the lease expired.
        TooLate = "too_late",
    }
}

words! {
    /// Why the scheduler published a wake-up.
    WakeupReason {
        /// The validation waited until now.
        Waited = "waited",
        /// An earlier wake-up was lost.
        Lost = "lost",
        /// The lease of a stopped worker expired.
        Rescued = "rescued",
    }
}

words! {
    /// Result of an attempt to deliver an event.
    AttemptResult {
        Delivered = "delivered",
        /// Another attempt follows.
        Failed = "failed",
        /// The last attempt failed.
        GivenUp = "given_up",
    }
}

macro_rules! labels {
    ($($name:ident { $($(#[$flatten:meta])? $label:ident: $kind:ty),+ })+) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
        pub(crate) struct $name {
            $($(#[$flatten])? pub(crate) $label: $kind),+
        }
    )+};
}

labels! {
    GatewayAccountLabels { merchant_id: String, gateway: &'static str, gateway_account: String }
    GatewayCallLabels {
        #[prometheus(flatten)]
        account: GatewayAccountLabels,
        method: &'static str,
        class: &'static str
    }
    PennyDropLabels { #[prometheus(flatten)] account: GatewayAccountLabels, class: &'static str }
    PostponedLabels { #[prometheus(flatten)] account: GatewayAccountLabels, why: &'static str }
    AttemptLabels { result: &'static str, failure: &'static str }
    FieldLabels { #[prometheus(flatten)] account: GatewayAccountLabels, field: String }
    GatewayLabels { gateway: &'static str }
    HealthLabels { endpoint: &'static str }
    KeyLabels { key_id: i64 }
    MerchantLabels { merchant_id: String }
    MerchantNameLabels { merchant_id: String, name: String }
    CompletedLabels { merchant_id: String, outcome: &'static str, failure: &'static str }
    OutcomeLabels { outcome: &'static str }
    PartLabels { part: &'static str }
    ResultLabels { result: &'static str }
    ReasonLabels { why: &'static str }
    QueueLabels { queue: &'static str }
    StateLabels { state: &'static str }
}

impl GatewayAccountLabels {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            merchant_id: entry.account.merchant.to_string(),
            gateway: entry.gateway.name(),
            gateway_account: entry.account.reference_id.clone(),
        }
    }
}
