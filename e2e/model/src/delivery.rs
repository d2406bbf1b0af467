//! The deliveries of one account's events to one endpoint that wants them in order: two workers own the endpoint in turns. Comments
//! name the product's statements.

mod state;

use khata_domain::events::DeliveryState;
use stateright::{Model, Property};

pub use state::{
    Call, Deliveries, Delivery, DeliveryAction, DeliveryFate, DeliveryFaults, DeliveryRepair,
    DeliveryStates, Owner,
};

use crate::time::Seconds;

/// Changes of the account.
const EVENTS: usize = 2;
/// Time for which a worker owns the endpoint after it stopped to renew the ownership: `LEASE` in `worker/src/deliveries/commits.rs`.
const OWNED_FOR: Seconds = 15;
/// `LOST_AFTER` in `shared/store/src/webhooks/deliveries.rs`.
const LOST_AFTER: Seconds = 45;
/// Time-out of a call.
const CALL_TIMEOUT: Seconds = 10;
/// Delays after the first and the second failed attempt: `DELAYS` in `shared/webhooks/src/schedule.rs`.
const DELAYS: [Seconds; 2] = [5, 60];

impl Deliveries {
    fn lacks(&self, repair: DeliveryRepair) -> bool {
        self.without == Some(repair)
    }

    /// The delivery that a claim takes now, and when it would take one later.
    fn claimable(&self, state: &DeliveryStates) -> Result<usize, Option<Seconds>> {
        let open = state.deliveries.iter().enumerate();
        let open = open.filter(|(_, delivery)| delivery.state == DeliveryState::Open);
        let at = |delivery: &Delivery| match delivery.started_at {
            None => Some(delivery.due_at),
            Some(_) if self.lacks(DeliveryRepair::LostRepeated) => None,
            Some(started_at) => Some(delivery.due_at.max(started_at + LOST_AFTER + 1)),
        };
        let length = if self.lacks(DeliveryRepair::InOrder) {
            EVENTS
        } else {
            1
        };
        let times: Vec<_> = open
            .take(length)
            .filter_map(|(index, delivery)| Some((at(delivery)?, index)))
            .collect();
        let first = times.iter().min().copied();
        match first {
            Some((at, index)) if at <= state.now => Ok(index),
            first => Err(first.map(|(at, _)| at)),
        }
    }

    fn has_open(state: &DeliveryStates) -> bool {
        let mut deliveries = state.deliveries.iter();
        deliveries.any(|delivery| delivery.state == DeliveryState::Open)
    }

    fn due(&self, state: &DeliveryStates, actions: &mut Vec<DeliveryAction>) {
        let is_over = |owner: Owner| owner.until.is_some_and(|until| until < state.now);
        let is_claimable = self.claimable(state).is_ok();
        if is_claimable && state.owner.is_none_or(is_over) {
            let awake = (0..2).filter(|worker| !state.paused[*worker]);
            actions.extend(awake.map(|worker| DeliveryAction::Acquire { worker }));
        }
        if is_claimable && state.owner.is_some_and(|owner| owner.until.is_none()) {
            actions.push(DeliveryAction::Claim);
        }
        for (index, call) in state.calls.iter().enumerate() {
            match call.ended {
                _ if state.paused[call.worker] => {}
                None => Self::fates(state, index, actions),
                Some((until, _)) if until <= state.now => {
                    actions.push(DeliveryAction::Settle { call: index });
                }
                Some(_) => {}
            }
        }
        if state.events > state.deliveries.len() + state.forgotten {
            actions.push(DeliveryAction::Write);
        }
    }

    fn fates(state: &DeliveryStates, call: usize, actions: &mut Vec<DeliveryAction>) {
        let left = state.left;
        let fates = [
            (DeliveryFate::Accepted, true),
            (DeliveryFate::ReplyLost, left.lost_replies > 0),
            (DeliveryFate::Failed, left.failures > 0),
        ];
        let possible = fates.into_iter().filter(|(_, is_possible)| *is_possible);
        actions.extend(possible.map(|(fate, _)| DeliveryAction::Call { call, fate }));
    }

    fn possible(state: &DeliveryStates, actions: &mut Vec<DeliveryAction>) {
        if state.events < EVENTS {
            actions.push(DeliveryAction::Change);
        }
        for worker in 0..2 {
            let owns = state
                .owner
                .is_some_and(|owner| owner.worker == worker && !owner.is_killed);
            let calls = state.calls.iter().any(|call| call.worker == worker);
            let writes = state.events > state.deliveries.len() + state.forgotten;
            if state.left.crashes > 0 && (owns || calls || writes) {
                actions.push(DeliveryAction::Crash { worker });
            }
            if state.paused[worker] {
                actions.push(DeliveryAction::Resume { worker });
            } else if state.left.pauses > 0 && (owns || calls) {
                actions.push(DeliveryAction::Pause { worker });
            }
        }
    }

    fn next_time(&self, state: &DeliveryStates) -> Option<Seconds> {
        let owned = state.owner.and_then(|owner| owner.until);
        let owned = owned.filter(|_| Self::has_open(state));
        let claimed = self.claimable(state).err().flatten();
        let times = state
            .calls
            .iter()
            .filter_map(|call| call.ended.map(|(until, _)| until));
        let times = times.chain(owned.map(|until| until + 1)).chain(claimed);
        times.filter(|at| *at > state.now).min()
    }

    /// `claim`.
    fn claim(&self, state: &mut DeliveryStates) {
        let (Some(owner), Ok(index)) = (state.owner, self.claimable(state)) else {
            return;
        };
        let delivery = &mut state.deliveries[index];
        delivery.started_at = Some(state.now);
        delivery.attempts += 1;
        state.calls.push(Call {
            worker: owner.worker,
            delivery: index,
            number: delivery.attempts,
            ended: None,
        });
    }

    fn call(state: &mut DeliveryStates, index: usize, fate: DeliveryFate) {
        let delivery = state.calls[index].delivery;
        if fate != DeliveryFate::Failed {
            let is_first = state.deliveries[delivery].copies == 0;
            let mut before = state.deliveries[..delivery].iter();
            let is_behind =
                before.any(|before| before.state == DeliveryState::Open && before.copies == 0);
            state.is_out_of_order |= is_first && is_behind;
            state.deliveries[delivery].copies += 1;
        }
        let took = if fate == DeliveryFate::ReplyLost {
            CALL_TIMEOUT
        } else {
            0
        };
        state.calls[index].ended = Some((state.now + took, fate == DeliveryFate::Accepted));
        state.left.lost_replies -= u8::from(fate == DeliveryFate::ReplyLost);
        state.left.failures -= u8::from(fate == DeliveryFate::Failed);
    }

    /// `settle`.
    fn settle(&self, state: &mut DeliveryStates, index: usize) {
        let call = state.calls.remove(index);
        let is_success = call.ended.is_some_and(|(_, is_success)| is_success);
        let delivery = &mut state.deliveries[call.delivery];
        let is_open = delivery.state == DeliveryState::Open;
        let is_newest = delivery.attempts == call.number;
        let is_its = is_newest && delivery.started_at.is_some()
            || is_success && (delivery.started_at.is_some() || delivery.failures > 0);
        if !(is_open && is_its || !is_open && self.lacks(DeliveryRepair::EndIsFinal)) {
            return;
        }
        state.has_gone_back |= !is_open && !is_success;
        delivery.started_at = None;
        if is_success {
            delivery.state = DeliveryState::Delivered;
        } else {
            delivery.state = DeliveryState::Open;
            let place = delivery.failures.min(DELAYS.len() - 1);
            delivery.due_at = state.now + DELAYS[place];
            delivery.failures += 1;
        }
    }

    /// The worker begins or stops to renew its ownership: `renew`, `w.owner_id = $3`. A process that was killed renews nothing.
    fn renew(state: &mut DeliveryStates, worker: usize, renews: bool) {
        let now = state.now;
        if let Some(owner) = state.owner.as_mut().filter(|owner| owner.worker == worker)
            && !owner.is_killed
        {
            owner.until = (!renews).then_some(now + OWNED_FOR);
        }
    }

    fn write(state: &mut DeliveryStates) {
        state.deliveries.push(Delivery {
            state: DeliveryState::Open,
            due_at: state.now,
            started_at: None,
            attempts: 0,
            failures: 0,
            copies: 0,
        });
    }

    fn crash(state: &mut DeliveryStates, worker: usize) {
        state.left.crashes -= 1;
        state.calls.retain(|call| call.worker != worker);
        state.paused[worker] = false;
        Self::renew(state, worker, false);
        if let Some(owner) = state.owner.as_mut().filter(|owner| owner.worker == worker) {
            owner.is_killed = true;
        }
        state.forgotten = state.events - state.deliveries.len();
    }
}

impl Model for Deliveries {
    type State = DeliveryStates;
    type Action = DeliveryAction;

    fn init_states(&self) -> Vec<DeliveryStates> {
        vec![DeliveryStates {
            now: 0,
            deliveries: Vec::new(),
            events: 0,
            forgotten: 0,
            owner: None,
            calls: Vec::new(),
            paused: [false; 2],
            left: self.faults,
            has_gone_back: false,
            is_out_of_order: false,
        }]
    }

    fn actions(&self, state: &DeliveryStates, actions: &mut Vec<DeliveryAction>) {
        self.due(state, actions);
        if actions.is_empty() && self.next_time(state).is_some() {
            actions.push(DeliveryAction::Wait);
        }
        Self::possible(state, actions);
    }

    fn next_state(&self, last: &DeliveryStates, action: DeliveryAction) -> Option<DeliveryStates> {
        let mut next = last.clone();
        let state = &mut next;
        match action {
            DeliveryAction::Change => {
                state.events += 1;
                if !self.lacks(DeliveryRepair::WrittenWithChange) {
                    Self::write(state);
                }
            }
            DeliveryAction::Write => Self::write(state),
            DeliveryAction::Acquire { worker } => {
                state.owner = Some(Owner {
                    worker,
                    until: None,
                    is_killed: false,
                });
            }
            DeliveryAction::Claim => self.claim(state),
            DeliveryAction::Call { call, fate } => Self::call(state, call, fate),
            DeliveryAction::Settle { call } => self.settle(state, call),
            DeliveryAction::Wait => state.now = self.next_time(state)?,
            DeliveryAction::Crash { worker } => Self::crash(state, worker),
            DeliveryAction::Pause { worker } => {
                state.left.pauses -= 1;
                state.paused[worker] = true;
                Self::renew(state, worker, false);
            }
            DeliveryAction::Resume { worker } => {
                state.paused[worker] = false;
                Self::renew(state, worker, true);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        type Condition = fn(&Deliveries, &DeliveryStates) -> bool;
        let always = |name, condition: Condition| Property::<Self>::always(name, condition);
        vec![
            always("every event is delivered", |model, state| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                let is_delivered = |delivery: &Delivery| delivery.state == DeliveryState::Delivered;
                !actions.is_empty()
                    || state.deliveries.len() == EVENTS && state.deliveries.iter().all(is_delivered)
            }),
            always(
                "an endpoint gets the events of an account in order",
                |_, state| !state.is_out_of_order,
            ),
            always("a delivery that ended stays ended", |_, state| {
                !state.has_gone_back
            }),
            always("what counts as delivered was accepted", |_, state| {
                let mut deliveries = state.deliveries.iter();
                deliveries.all(|one| one.state != DeliveryState::Delivered || one.copies > 0)
            }),
            always(
                "each copy beyond the first follows a fault",
                |model, state| {
                    let copies: usize = state
                        .deliveries
                        .iter()
                        .map(|one| usize::from(one.copies))
                        .sum();
                    let accepted = state.deliveries.iter().filter(|one| one.copies > 0).count();
                    copies <= accepted + spent(model.faults, state.left)
                },
            ),
        ]
    }
}

/// The faults that have happened and may repeat a call.
fn spent(all: DeliveryFaults, left: DeliveryFaults) -> usize {
    let count = |of: DeliveryFaults| of.crashes + of.pauses + of.lost_replies;
    usize::from(count(all) - count(left))
}
