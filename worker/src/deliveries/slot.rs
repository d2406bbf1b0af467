//! One attempt in progress at an endpoint.

use khata_domain::events::EndpointKey;
use tokio::sync::mpsc;

/// A step of an attempt: its call ends first, and then its result is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Whether the endpoint accepted the event; `None` if no call was made.
    Called(Option<bool>),
    Settled(Settled),
}

/// A step of an attempt at this endpoint.
pub(super) type EndpointStep = (EndpointKey, Step);

/// The end of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// An event of the same subject can be claimed now.
    pub(super) has_successor: bool,
    /// The result is stored; otherwise the attempt counts as lost.
    pub(super) is_stored: bool,
}

/// Counts an attempt as in progress until it is dropped, which also happens when its task panics.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) settled: Settled,
    endpoint: EndpointKey,
    is_called: bool,
    steps: mpsc::UnboundedSender<EndpointStep>,
}

impl Slot {
    pub(super) fn new(endpoint: EndpointKey, steps: mpsc::UnboundedSender<EndpointStep>) -> Self {
        Self {
            settled: Settled::default(),
            endpoint,
            is_called: false,
            steps,
        }
    }

    /// Ends the call: another one can begin.
    pub(super) fn called(&mut self, is_success: Option<bool>) {
        self.is_called = true;
        self.send(Step::Called(is_success));
    }

    fn send(&self, step: Step) {
        // The receiver is gone after the drain of a shutdown.
        let _ = self.steps.send((self.endpoint, step));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_called {
            self.called(None);
        }
        self.send(Step::Settled(self.settled));
    }
}
