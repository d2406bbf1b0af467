//! One call in progress at an endpoint.

use khata_domain::events::EndpointKey;
use tokio::sync::mpsc;

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) endpoint: EndpointKey,
    /// Whether the endpoint accepted the event; `None` if no call was made.
    pub(super) is_success: Option<bool>,
    /// An event of the same subject can be claimed now.
    pub(super) has_successor: bool,
    /// The result is stored; otherwise the attempt counts as lost.
    pub(super) is_settled: bool,
}

/// Counts a call as in progress until it is dropped, which also happens when its task panics.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) end: Ended,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Slot {
    pub(super) fn new(endpoint: EndpointKey, ended: mpsc::UnboundedSender<Ended>) -> Self {
        let end = Ended {
            endpoint,
            is_success: None,
            has_successor: false,
            is_settled: false,
        };
        Self { end, ended }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The receiver is gone after the drain of a shutdown.
        let _ = self.ended.send(self.end);
    }
}
