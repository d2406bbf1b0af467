//! What a gateway remembers: the newest so many of a kind, by key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Values by key. Beyond `capacity` the oldest are forgotten. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Memory<V> {
    capacity: usize,
    shelf: Mutex<Shelf<V>>,
}

#[derive(Debug)]
struct Shelf<V> {
    values: HashMap<Arc<str>, V>,
    /// The keys, oldest first.
    order: VecDeque<Arc<str>>,
}

impl<V: Clone> Memory<V> {
    /// An empty memory for so many values.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            shelf: Mutex::new(Shelf {
                values: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// The value of this key.
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        self.lock().values.get(key).cloned()
    }

    /// Remembers a value under a key that is new, and says so by `None`; a key that is known keeps its
    /// value, which is returned. The look and the entry are one step: of two calls at once with one
    /// key, one is first.
    pub(crate) fn add(&self, key: &str, value: V) -> Option<V> {
        let mut known = self.lock();
        if let Some(value) = known.values.get(key) {
            return Some(value.clone());
        }
        let key: Arc<str> = Arc::from(key);
        known.order.push_back(Arc::clone(&key));
        known.values.insert(key, value);
        if known.order.len() > self.capacity
            && let Some(oldest) = known.order.pop_front()
        {
            known.values.remove(&oldest);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<V>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_key_stays_and_the_oldest_keys_go() {
        let memory = Memory::new(2);
        assert_eq!(memory.add("a", 1), None);
        assert_eq!(memory.add("a", 2), Some(1));
        assert_eq!(memory.add("b", 3), None);
        assert_eq!((memory.get("a"), memory.get("b")), (Some(1), Some(3)));
        assert_eq!(memory.add("c", 4), None);
        assert_eq!((memory.get("a"), memory.get("c")), (None, Some(4)));
        assert_eq!(memory.add("a", 5), None, "new again");
    }
}
