//! The call of a worker: what the gateway does, and what the worker learns.

use khata_domain::Class;

use crate::scenario::{CALL_TIMEOUT, Fate, GatewayKind, Repair, Scenario};
use crate::state::{
    Act, Broken, Held, LateCall, Phase, Received, Reference, ResponseKind, State, Step,
};
use crate::time::Seconds;

/// Time by which a call has arrived after the worker wrote it to the socket, or never will. The settling time of 90 s begins with the
/// claim; the write follows at most 8 s later, because the lease must leave time for two calls.
const ARRIVES_WITHIN: Seconds = 80;

impl Scenario {
    /// Whether the lease leaves time for the call: `has_time_for_call`.
    pub fn has_time(held: &Held, now: Seconds) -> bool {
        now + 2 * CALL_TIMEOUT <= held.lease_ends
    }

    /// The worker writes its call to the socket, and the call has this fate.
    pub fn call(&self, state: &mut State, worker: usize, fate: Fate) {
        let Some(mut held) = state.workers[worker] else {
            return;
        };
        let Step::Attempt { row, act, .. } = held.step else {
            return;
        };
        if let Some(stored) = state.row(row.reference)
            && act.moves_money()
        {
            stored.was_sent |= fate != Fate::Refused;
        }
        let mut reference = row.reference;
        if act == Act::VerifyAgain && self.lacks(Repair::ReferenceReused) {
            reference.repetition = row.polls + 1;
        }
        let now = state.now;
        let (response, took) = match fate {
            Fate::Responded => (self.receive(state, act, reference, row.gateway), 0),
            Fate::ResponseLost => {
                self.receive(state, act, reference, row.gateway);
                (ResponseKind::Lost, CALL_TIMEOUT)
            }
            Fate::Unclear => {
                self.receive(state, act, reference, row.gateway);
                (ResponseKind::Unclear, 0)
            }
            Fate::RequestLost => (ResponseKind::Lost, CALL_TIMEOUT),
            Fate::Late => {
                state.late_calls.push(LateCall {
                    reference,
                    gateway: row.gateway,
                    arrives_before: now + ARRIVES_WITHIN,
                });
                (ResponseKind::Lost, CALL_TIMEOUT)
            }
            Fate::Forgotten => (ResponseKind::NotReceived, 0),
            Fate::Refused => (ResponseKind::NotSent, 0),
            Fate::Rejected => (ResponseKind::Rejected, 0),
        };
        match fate {
            Fate::Responded => {}
            Fate::Late => state.left.late_calls -= 1,
            _ => state.left.calls -= 1,
        }
        held.phase = Phase::Called {
            called_at: now,
            until: now + took,
            response,
        };
        state.workers[worker] = Some(held);
    }

    /// A late call arrives. Its response is lost.
    pub fn arrive(&self, state: &mut State, call: usize) {
        let call = state.late_calls.remove(call);
        self.receive(state, Act::Verify, call.reference, call.gateway);
    }

    /// The gateway receives a call, and responds.
    fn receive(
        &self,
        state: &mut State,
        act: Act,
        reference: Reference,
        gateway: usize,
    ) -> ResponseKind {
        let now = state.now;
        let of = &self.gateways[gateway];
        let known = state
            .received
            .iter()
            .position(|received| received.reference == reference && received.gateway == gateway);
        if !act.moves_money() {
            return known.map_or(ResponseKind::NotReceived, |index| {
                self.response(&state.received[index], now)
            });
        }
        if state.row(reference).is_none() {
            state.breaks(Broken::RupeeWithoutAttempt);
        }
        let received = match known {
            None => {
                state.received.push(Received {
                    reference,
                    gateway,
                    at: now,
                    rupees: 1,
                });
                state.received[state.received.len() - 1]
            }
            Some(index) => {
                match of.kind {
                    // `error_duplicate_reference_id`: says nothing about the first call.
                    GatewayKind::RefusesRepeats => return ResponseKind::Lost,
                    GatewayKind::Resubmit => {}
                    GatewayKind::Lookup | GatewayKind::None => state.received[index].rupees += 1,
                }
                state.received[index]
            }
        };
        self.response(&received, now)
    }

    fn response(&self, received: &Received, now: Seconds) -> ResponseKind {
        let of = &self.gateways[received.gateway];
        if now < received.at + of.pending_for {
            ResponseKind::Class(Class::Pending)
        } else {
            ResponseKind::Class(of.script)
        }
    }
}
