//! The labels of a worker's metrics.

use prometheus_client::encoding::EncodeLabelSet;

use crate::directory::Entry;

/// Which gateway account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Place {
    pub(crate) merchant_id: String,
    pub(crate) gateway: &'static str,
    pub(crate) gateway_account: String,
}

impl Place {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            merchant_id: entry.account.merchant.to_string(),
            gateway: entry.gateway.name(),
            gateway_account: entry.account.reference_id.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    pub(super) merchant_id: String,
    pub(super) gateway: &'static str,
    pub(super) gateway_account: String,
    pub(super) method: &'static str,
    /// The class, or `NO_ANSWER`.
    pub(super) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ToldDrop {
    pub(super) merchant_id: String,
    pub(super) gateway: &'static str,
    pub(super) gateway_account: String,
    pub(super) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HeldUp {
    pub(super) merchant_id: String,
    pub(super) gateway: &'static str,
    pub(super) gateway_account: String,
    pub(super) why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct GatewayName {
    pub(super) gateway: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Merchant {
    pub(super) merchant_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Completed {
    pub(super) merchant_id: String,
    pub(super) outcome: &'static str,
    /// The failure's code; empty where there is none.
    pub(super) failure: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfOutcome {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Part {
    pub(super) part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfResult {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Why {
    pub(super) why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Queue {
    pub(super) queue: &'static str,
}
