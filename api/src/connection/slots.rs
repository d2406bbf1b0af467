//! The places for connections of one HTTP thread. While most of them are taken, a new connection closes an old one that does
//! nothing for its client, so that clients without a key cannot keep merchants out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::state::ConnectionState;

/// Time in which a new client must begin its first request, or a client its next one, to keep its place for certain.
const GRACE: Duration = Duration::from_secs(1);

/// The open connections of one HTTP thread, and their maximum.
pub(crate) struct Slots {
    limit: usize,
    open: RefCell<BTreeMap<u64, Rc<ConnectionState>>>,
}

/// The place of one connection. It is free again when it is dropped.
pub(super) struct Slot {
    slots: Rc<Slots>,
    number: u64,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit: limit.max(1),
            open: RefCell::default(),
        })
    }

    /// Takes a place, and closes an older connection if few are left.
    pub(super) fn take(self: &Rc<Self>, state: &Rc<ConnectionState>, now: Instant) -> Slot {
        if let Some(other) = self.superfluous(now) {
            other.close();
        }
        let mut open = self.open.borrow_mut();
        let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
        open.insert(number, Rc::clone(state));
        Slot {
            slots: Rc::clone(self),
            number,
        }
    }

    /// Returns the connection that must make room: of those that serve no request, the one whose last request began longest
    /// ago. Clients without a valid key make room while more than three quarters of the places are taken, the idle
    /// connections of merchants while more than seven eighths are. A client that has just come keeps its place, for its first
    /// request, until fifteen sixteenths are taken.
    fn superfluous(&self, now: Instant) -> Option<Rc<ConnectionState>> {
        let open = self.open.borrow();
        if open.len() * 4 < self.limit * 3 {
            return None;
        }
        let staying = || open.values().filter(|state| !state.must_close());
        let taken = staying().count();
        let is_beyond = |parts: usize, of: usize| taken * of >= self.limit * parts;
        let has_time = |state: &ConnectionState| {
            let age = now.saturating_duration_since(state.since());
            age < GRACE && !is_beyond(15, 16)
        };
        let oldest = |is_authenticated: bool| {
            staying()
                .filter(|state| state.is_authenticated() == is_authenticated && !state.serves())
                // A merchant takes its reply; an unknown client may only pretend to.
                .filter(|state| !(is_authenticated && state.sends_body()))
                .filter(|state| !has_time(state))
                .min_by_key(|state| state.since())
        };
        let unknown = is_beyond(3, 4).then(|| oldest(false)).flatten();
        unknown
            .or_else(|| is_beyond(7, 8).then(|| oldest(true)).flatten())
            .cloned()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.open.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a connection, when those before have been open for longer than the grace.
    fn open(slots: &Rc<Slots>) -> (Rc<ConnectionState>, Slot) {
        open_at(slots, Instant::now() + 2 * GRACE)
    }

    fn open_at(slots: &Rc<Slots>, now: Instant) -> (Rc<ConnectionState>, Slot) {
        let state = ConnectionState::new();
        let slot = slots.take(&state, now);
        (state, slot)
    }

    #[test]
    fn a_client_that_has_just_come_keeps_its_place_until_nearly_all_are_taken() {
        let slots = Slots::new(16);
        let now = Instant::now();
        let places: Vec<_> = (0..17).map(|_| open_at(&slots, now)).collect();
        let closed = places.iter().map(|(state, _)| state.must_close());
        // The sixteenth and the seventeenth found fifteen places taken.
        let expected = (0..17).map(|place| place < 2);
        assert!(closed.eq(expected));
    }

    #[test]
    fn unknown_clients_make_room_first_and_served_ones_never() {
        let slots = Slots::new(8);
        let mut places: Vec<_> = (0..6).map(|_| open(&slots)).collect();
        let closed = |places: &[(Rc<ConnectionState>, Slot)]| -> Vec<usize> {
            let closed = places.iter().enumerate();
            closed
                .filter(|(_, (state, _))| state.must_close())
                .map(|(place, _)| place)
                .collect()
        };
        assert_eq!(closed(&places), [0; 0], "few are open");
        places[0].0.authenticate();
        let serving = places[1].0.serve(Instant::now(), false);
        places.push(open(&slots));
        assert_eq!(
            closed(&places),
            [2],
            "the oldest unknown one that is not served"
        );
        // Those that must close take no place of those that stay.
        places.push(open(&slots));
        assert_eq!(closed(&places), [2, 3]);
        for (state, _) in &places[4..] {
            state.authenticate();
        }
        places.push(open(&slots));
        assert_eq!(
            closed(&places),
            [2, 3],
            "merchants keep six of eight places"
        );
        drop(serving);
        places[8].0.authenticate();
        places.push(open(&slots));
        assert_eq!(
            closed(&places),
            [1, 2, 3],
            "an unknown client between merchants"
        );
        places[9].0.authenticate();
        places.push(open(&slots));
        assert_eq!(closed(&places), [0, 1, 2, 3], "the oldest idle merchant");
        places.clear();
        assert!(slots.open.borrow().is_empty());
    }
}
