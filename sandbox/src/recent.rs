//! The newest values of a kind, by key; and the bearer tokens that a gateway issued.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::gateway::lock;

/// Values by key, shared by all worker threads. Beyond `CAPACITY` insertions the oldest value is dropped.
#[derive(Debug)]
pub(crate) struct Recent<V, const CAPACITY: usize>(Mutex<Entries<V>>);

#[derive(Debug)]
struct Entries<V> {
    /// Each value with the number of its insertion.
    values: HashMap<Arc<str>, (u64, V)>,
    /// Insertions, oldest first. A key that was inserted again is here twice.
    order: VecDeque<(Arc<str>, u64)>,
    insertions: u64,
}

impl<V, const CAPACITY: usize> Default for Recent<V, CAPACITY> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            values: HashMap::new(),
            order: VecDeque::new(),
            insertions: 0,
        }))
    }
}

impl<V: Clone, const CAPACITY: usize> Recent<V, CAPACITY> {
    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        let entries = lock(&self.0);
        entries.values.get(key).map(|(_, value)| value.clone())
    }

    /// Inserts a value under a new key and returns `None`. A key that exists keeps its value, which is
    /// returned. Both happen under one lock: of two concurrent calls with one key, one is first.
    pub(crate) fn add(&self, key: &str, value: V) -> Option<V> {
        let mut entries = lock(&self.0);
        if let Some((_, value)) = entries.values.get(key) {
            return Some(value.clone());
        }
        entries.insert(key, value, CAPACITY);
        None
    }

    /// Inserts a value, in place of the key's former value if the key exists.
    pub(crate) fn set(&self, key: &str, value: V) {
        lock(&self.0).insert(key, value, CAPACITY);
    }
}

impl<V> Entries<V> {
    fn insert(&mut self, key: &str, value: V, capacity: usize) {
        let key: Arc<str> = Arc::from(key);
        self.insertions += 1;
        self.order.push_back((Arc::clone(&key), self.insertions));
        self.values.insert(key, (self.insertions, value));
        if self.order.len() > capacity
            && let Some((oldest, insertion)) = self.order.pop_front()
            // The key may have a newer value.
            && self.values.get(&oldest).is_some_and(|(newest, _)| *newest == insertion)
        {
            self.values.remove(&oldest);
        }
    }
}

/// Number of tokens that are kept; beyond it the oldest are dropped, as if they had expired.
const TOKENS: usize = 10_000;

/// Issued tokens, each with the time when it expires.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Recent<Instant, TOKENS>);

impl Tokens {
    /// Issues a token of 64 hex digits that is valid for `life`.
    pub(crate) fn issue(&self, now: Instant, life: Duration) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.0.add(&token, now + life);
        token
    }

    /// Returns whether this token was issued and has not expired.
    pub(crate) fn is_valid(&self, token: &str, now: Instant) -> bool {
        self.0.get(token).is_some_and(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_key_stays_and_the_oldest_keys_are_dropped() {
        let recent = Recent::<_, 2>::default();
        assert_eq!(recent.add("a", 1), None);
        assert_eq!(recent.add("a", 2), Some(1));
        assert_eq!(recent.add("b", 3), None);
        assert_eq!((recent.get("a"), recent.get("b")), (Some(1), Some(3)));
        assert_eq!(recent.add("c", 4), None);
        assert_eq!((recent.get("a"), recent.get("c")), (None, Some(4)));
        assert_eq!(recent.add("a", 5), None, "a dropped key is free again");
    }

    #[test]
    fn a_key_that_is_set_again_has_its_newest_value_and_age() {
        let recent = Recent::<_, 3>::default();
        for (key, value) in [("u", 1), ("v", 2), ("u", 3), ("w", 4)] {
            recent.set(key, value);
        }
        assert_eq!(recent.get("u"), Some(3), "the newer value stays");
        recent.set("x", 5);
        assert_eq!((recent.get("u"), recent.get("v")), (Some(3), None));
        recent.set("y", 6);
        assert_eq!(recent.get("u"), None);
        let entries = lock(&recent.0);
        assert_eq!((entries.order.len(), entries.values.len()), (3, 3));
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let now = Instant::now();
        let life = Duration::from_secs(10);
        let tokens = Tokens::default();
        let token = tokens.issue(now, life);
        assert_eq!(token.len(), 64);
        assert!(tokens.is_valid(&token, now + Duration::from_millis(9_999)));
        assert!(!tokens.is_valid(&token, now + life));
        assert!(!tokens.is_valid("guess", now));
        assert_ne!(tokens.issue(now, life), token);
    }
}
