//! The model: which steps are possible in a state, and where each leads.

use khata_domain::ValidationState;
use stateright::{Model, Property};

use crate::invariants;
use crate::scenario::{CALL_TIMEOUT, Fate, Scenario};
use crate::state::{Act, Held, Phase, State, Step};
use crate::time::Seconds;

/// A step of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A worker takes a wake-up and claims the validation.
    Claim {
        worker: usize,
        validation: usize,
    },
    /// The worker finds that its lease leaves time for the call.
    CheckLease {
        worker: usize,
    },
    Call {
        worker: usize,
        fate: Fate,
    },
    Settle {
        worker: usize,
    },
    Schedule {
        validation: usize,
    },
    /// Time passes until something is due.
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
    LoseWakeup {
        validation: usize,
    },
    RepeatWakeup {
        validation: usize,
    },
    Arrive {
        call: usize,
    },
    Webhook {
        received: usize,
        is_hint: bool,
    },
    ValidateAgain,
    Delete,
    DisableGateway,
}

impl Scenario {
    /// The steps that are due now. Time does not pass before they are made.
    fn due(&self, state: &State, actions: &mut Vec<Action>) {
        let idle = state.workers.iter().position(Option::is_none);
        for (index, validation) in state.validations.iter().enumerate() {
            if let Some(worker) = idle.filter(|_| validation.wakeups > 0) {
                actions.push(Action::Claim {
                    worker,
                    validation: index,
                });
            }
            if self
                .scheduled_at(validation)
                .is_some_and(|at| at <= state.now)
            {
                actions.push(Action::Schedule { validation: index });
            }
        }
        for (worker, held) in state.workers.iter().enumerate() {
            if let Some(held) = held.filter(|held| !held.is_paused) {
                self.steps(state, worker, &held, actions);
            }
        }
        for (call, late) in state.late_calls.iter().enumerate() {
            if late.arrives_before <= state.now + 1 {
                actions.push(Action::Arrive { call });
            }
        }
    }

    /// The next step of a worker.
    fn steps(&self, state: &State, worker: usize, held: &Held, actions: &mut Vec<Action>) {
        let Step::Attempt { act, .. } = held.step else {
            actions.push(Action::Settle { worker });
            return;
        };
        match held.phase {
            Phase::Called { until, .. } if until > state.now => {}
            Phase::Called { .. } => actions.push(Action::Settle { worker }),
            Phase::Claimed
                if matches!(act, Act::UseWebhook(_)) || !Self::has_time(held, state.now) =>
            {
                actions.push(Action::Settle { worker });
            }
            Phase::Claimed if self.pauses_at_socket => actions.push(Action::CheckLease { worker }),
            Phase::Claimed | Phase::Checked => self.fates(state, worker, held, actions),
        }
    }

    fn fates(&self, state: &State, worker: usize, held: &Held, actions: &mut Vec<Action>) {
        let Step::Attempt { row, act, .. } = held.step else {
            return;
        };
        actions.push(Action::Call {
            worker,
            fate: Fate::Responded,
        });
        for &fate in self.fates {
            let is_possible = match fate {
                Fate::Responded => false,
                Fate::Late => act.moves_money() && state.left.late_calls > 0,
                Fate::RequestLost | Fate::Refused => act.moves_money() && state.left.calls > 0,
                Fate::Forgotten => {
                    !act.moves_money() && state.left.calls > 0 && state.is_accepted(&row)
                }
                Fate::ResponseLost | Fate::Unclear | Fate::Rejected => state.left.calls > 0,
            };
            if is_possible {
                actions.push(Action::Call { worker, fate });
            }
        }
    }

    /// The steps that may happen now, or later, or never.
    fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        for (worker, held) in state.workers.iter().enumerate() {
            let Some(held) = held else { continue };
            if left.crashes > 0 {
                actions.push(Action::Crash { worker });
            }
            if held.is_paused {
                actions.push(Action::Resume { worker });
            } else if left.pauses > 0 {
                actions.push(Action::Pause { worker });
            }
        }
        for (index, validation) in state.validations.iter().enumerate() {
            if validation.wakeups > 0 && left.lost_wakeups > 0 {
                actions.push(Action::LoseWakeup { validation: index });
            }
            if validation.wakeups == 1 && left.repeated_wakeups > 0 {
                actions.push(Action::RepeatWakeup { validation: index });
            }
        }
        for (call, late) in state.late_calls.iter().enumerate() {
            if late.arrives_before > state.now + 1 {
                actions.push(Action::Arrive { call });
            }
        }
        for (index, received) in state.received.iter().enumerate() {
            if state.validations[received.reference.validation].is_completed() {
                continue;
            }
            if left.webhooks > 0 && self.is_decided(state, index) {
                actions.push(Action::Webhook {
                    received: index,
                    is_hint: false,
                });
            }
            if left.hints > 0 {
                actions.push(Action::Webhook {
                    received: index,
                    is_hint: true,
                });
            }
        }
        if left.again > 0 && self.may_validate_again(state) {
            actions.push(Action::ValidateAgain);
        }
        if left.deletions > 0 {
            actions.push(Action::Delete);
        }
        if left.disabled > 0 && !state.validations[0].is_completed() {
            actions.push(Action::DisableGateway);
        }
    }

    /// When the next step is due, if none is now.
    fn next_time(&self, state: &State) -> Option<Seconds> {
        let scheduled = state
            .validations
            .iter()
            .filter_map(|one| self.scheduled_at(one));
        let called = state
            .workers
            .iter()
            .flatten()
            .filter_map(|held| match held.phase {
                Phase::Called { until, .. } => Some(until),
                // A paused worker may go on when its lease leaves no time for the call.
                Phase::Claimed => Some(held.lease_ends - 2 * CALL_TIMEOUT + 1),
                Phase::Checked => None,
            });
        let late = state.late_calls.iter().map(|late| late.arrives_before - 1);
        let is_open = |received: &&crate::state::Received| {
            let validation = &state.validations[received.reference.validation];
            state.left.webhooks > 0 && validation.state != ValidationState::Completed
        };
        let received = state.received.iter().filter(is_open);
        let decided =
            received.map(|received| received.at + self.gateways[received.gateway].pending_for);
        let times = scheduled.chain(called).chain(late).chain(decided);
        times.filter(|at| *at > state.now).min()
    }

    fn step(&self, state: &mut State, action: &Action) {
        let left = &mut state.left;
        match *action {
            Action::Claim { worker, validation } => self.claim(state, worker, validation),
            Action::CheckLease { worker } => {
                if let Some(held) = &mut state.workers[worker] {
                    held.phase = Phase::Checked;
                }
            }
            Action::Call { worker, fate } => self.call(state, worker, fate),
            Action::Settle { worker } => self.settle(state, worker),
            Action::Schedule { validation } => Self::schedule(state, validation),
            Action::Wait => state.now = self.next_time(state).unwrap_or(state.now),
            Action::Crash { worker } => {
                left.crashes -= 1;
                Self::crash(state, worker);
            }
            Action::Pause { worker } | Action::Resume { worker } => {
                let is_paused = matches!(action, Action::Pause { .. });
                left.pauses -= u8::from(is_paused);
                if let Some(held) = &mut state.workers[worker] {
                    held.is_paused = is_paused;
                }
            }
            Action::LoseWakeup { validation } => {
                left.lost_wakeups -= 1;
                state.validations[validation].wakeups -= 1;
            }
            Action::RepeatWakeup { validation } => {
                left.repeated_wakeups -= 1;
                state.validations[validation].publish();
            }
            Action::Arrive { call } => self.arrive(state, call),
            Action::Webhook { received, is_hint } => {
                left.webhooks -= u8::from(!is_hint);
                left.hints -= u8::from(is_hint);
                self.webhook(state, received, is_hint);
            }
            Action::ValidateAgain => {
                left.again -= 1;
                Self::validate_again(state);
            }
            Action::Delete => {
                left.deletions -= 1;
                Self::delete(state);
            }
            Action::DisableGateway => {
                left.disabled -= 1;
                state.is_first_gateway_disabled = true;
            }
        }
    }

    /// Whether nothing is due, now or later.
    pub fn is_over(&self, state: &State) -> bool {
        let mut due = Vec::new();
        self.due(state, &mut due);
        due.is_empty() && self.next_time(state).is_none()
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.due(state, actions);
        if actions.is_empty() && self.next_time(state).is_some() {
            actions.push(Action::Wait);
        }
        self.possible(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, &action);
        state.normalize();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariants::all()
    }
}
