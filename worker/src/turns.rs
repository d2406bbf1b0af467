//! Turns: which queued validation begins next. Each merchant has a queue, and the merchant with the fewest validations in
//! progress comes first. No merchant may use more than [`SHARE`] times the permits that stay free, so that a merchant whose
//! gateway is slow leaves permits to the others: three quarters of them for one merchant, three sevenths for each of two.
//!
//! Validations that a caller waits for have queues and permits of their own. Beyond these, they use the permits of the others
//! before the others do.
//!
//! Among the validations of one merchant, those come first whose next step may complete them, and the next ones of gateway
//! accounts' queues: a merchant that creates more than its gateway takes still gets results.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use khata_domain::MerchantId;
use uuid::Uuid;

/// Permits that one merchant may use, as a multiple of the free ones.
pub(crate) const SHARE: usize = 3;
/// One permit for awaited validations is added to this many for others.
const AWAITED_SHARE: usize = 8;
/// Maximum length of all queues of a urgency together. One merchant may fill half of it, two merchants two thirds.
pub(crate) const MAX_QUEUED: usize = 32_768;
/// Maximum length of the parts of the queues that come first, together. One merchant may fill half of it.
const MAX_FIRST: usize = 8_192;
/// A validation that has not begun by then is left to the scheduler: RabbitMQ closes the channel of a worker that holds a
/// message for half an hour.
const MAX_AGE: Duration = Duration::from_mins(5);

/// The order of precedence among validations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Urgency {
    /// A caller waits for the outcome.
    Awaited,
    Other,
}

/// Returns the permits of a worker for awaited validations, beside those for all.
pub(crate) fn awaited_permits(concurrency: usize) -> usize {
    concurrency.div_ceil(AWAITED_SHARE)
}

/// Returns how many of a worker's permits one merchant may use while no other merchant uses any.
pub(crate) fn share_of_one(concurrency: usize) -> usize {
    (concurrency * SHARE).div_ceil(SHARE + 1)
}

/// The queues of all merchants.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    concurrency: usize,
    awaited: Queues<T>,
    others: Queues<T>,
}

/// The queues of one urgency.
#[derive(Debug)]
struct Queues<T> {
    merchants: HashMap<MerchantId, Merchant<T>>,
    /// The merchants with queued validations; the one whose turn it is comes first.
    order: BTreeSet<Turn>,
    /// The ids of what is queued.
    ids: HashSet<Uuid>,
    /// The ids of what comes first.
    first_ids: HashSet<Uuid>,
    in_progress: usize,
    turns: u64,
}

/// A merchant's place in the order: by validations in progress, then by its last turn.
type Turn = (usize, u64, MerchantId);

#[derive(Debug)]
struct Merchant<T> {
    /// Begins before the queue.
    first: VecDeque<Queued<T>>,
    queue: VecDeque<Queued<T>>,
    in_progress: usize,
    last_turn: u64,
}

#[derive(Debug)]
struct Queued<T> {
    id: Uuid,
    at: Instant,
    item: T,
}

impl<T> Turns<T> {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            awaited: Queues::new(),
            others: Queues::new(),
        }
    }

    fn queues(&mut self, urgency: Urgency) -> &mut Queues<T> {
        match urgency {
            Urgency::Awaited => &mut self.awaited,
            Urgency::Other => &mut self.others,
        }
    }

    /// Queues an item of a merchant; returns the item if the merchant's queue is full, or has this id already.
    pub(crate) fn push(
        &mut self,
        urgency: Urgency,
        (merchant, id): (MerchantId, Uuid),
        item: T,
    ) -> Result<(), T> {
        let at = Instant::now();
        let queued = Queued { id, at, item };
        self.queues(urgency).push(merchant, queued)
    }

    /// The same for an item that comes before those that [`Self::push`] queued.
    pub(crate) fn push_first(
        &mut self,
        urgency: Urgency,
        (merchant, id): (MerchantId, Uuid),
        item: T,
    ) -> Result<(), T> {
        let at = Instant::now();
        let queued = Queued { id, at, item };
        self.queues(urgency).push_first(merchant, queued)
    }

    /// Takes the validation whose turn it is; `None` if none is queued, or none may begin now.
    pub(crate) fn next(&mut self) -> Option<(Urgency, MerchantId, T)> {
        let in_progress = self.in_progress();
        let all = self.concurrency + awaited_permits(self.concurrency);
        if let Some((merchant, item)) = self.awaited.next(all.saturating_sub(in_progress)) {
            return Some((Urgency::Awaited, merchant, item));
        }
        let borrowed = self.awaited.in_progress;
        let borrowed = borrowed.saturating_sub(awaited_permits(self.concurrency));
        let free = self
            .concurrency
            .saturating_sub(self.others.in_progress + borrowed);
        let (merchant, item) = self.others.next(free)?;
        Some((Urgency::Other, merchant, item))
    }

    /// Whether a validation in progress should give its permit back when its step has ended, and not go on with the next one of
    /// a queue: another merchant waits that has fewer in progress, or a caller waits.
    pub(crate) fn should_yield(&self, urgency: Urgency, merchant: MerchantId) -> bool {
        match urgency {
            Urgency::Awaited => self.awaited.has_fewer(merchant),
            Urgency::Other => !self.awaited.order.is_empty() || self.others.has_fewer(merchant),
        }
    }

    /// Ends a validation that [`Self::next`] returned.
    pub(crate) fn end(&mut self, urgency: Urgency, merchant: MerchantId) {
        self.queues(urgency).end(merchant);
    }

    /// Takes every queued validation.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut items = self.awaited.drain();
        items.extend(self.others.drain());
        items
    }

    /// Drops validations that have been queued for too long.
    pub(crate) fn drop_old(&mut self, now: Instant) {
        self.awaited.drop_old(now);
        self.others.drop_old(now);
    }

    /// Returns the merchants with at least this many queued validations.
    pub(crate) fn merchants_with(&self, count: usize) -> Vec<MerchantId> {
        let merchants = self.others.merchants.iter();
        let long = merchants.filter(|(_, merchant)| merchant.queue.len() >= count);
        long.map(|(id, _)| *id).collect()
    }

    /// The same for those that come first.
    pub(crate) fn merchants_with_first(&self, count: usize) -> Vec<MerchantId> {
        let merchants = self.others.merchants.iter();
        let long = merchants.filter(|(_, merchant)| merchant.first.len() >= count);
        long.map(|(id, _)| *id).collect()
    }

    pub(crate) fn queued(&self) -> usize {
        self.awaited.queued() + self.others.queued()
    }

    pub(crate) fn in_progress(&self) -> usize {
        self.awaited.in_progress + self.others.in_progress
    }
}

impl<T> Queues<T> {
    fn new() -> Self {
        Self {
            merchants: HashMap::new(),
            order: BTreeSet::new(),
            ids: HashSet::new(),
            first_ids: HashSet::new(),
            in_progress: 0,
            turns: 0,
        }
    }

    fn push(&mut self, merchant: MerchantId, queued: Queued<T>) -> Result<(), T> {
        let length = self.merchants.get(&merchant);
        let length = length.map_or(0, |merchant| merchant.queue.len());
        let is_full = length >= MAX_QUEUED.saturating_sub(self.ids.len());
        if is_full || !self.ids.insert(queued.id) {
            return Err(queued.item);
        }
        self.change(merchant, |merchant, _| merchant.queue.push_back(queued));
        Ok(())
    }

    fn push_first(&mut self, merchant: MerchantId, queued: Queued<T>) -> Result<(), T> {
        let length = self.merchants.get(&merchant);
        let length = length.map_or(0, |merchant| merchant.first.len());
        let is_full = length >= MAX_FIRST.saturating_sub(self.first_ids.len());
        if is_full || !self.first_ids.insert(queued.id) {
            return Err(queued.item);
        }
        self.change(merchant, |merchant, _| merchant.first.push_back(queued));
        Ok(())
    }

    fn queued(&self) -> usize {
        self.ids.len() + self.first_ids.len()
    }

    /// Whether another merchant waits that has fewer in progress.
    fn has_fewer(&self, than: MerchantId) -> bool {
        let merchant = self.merchants.get(&than);
        let in_progress = merchant.map_or(0, |merchant| merchant.in_progress);
        let first = self.order.first();
        first.is_some_and(|(fewest, _, first)| *first != than && *fewest < in_progress)
    }

    fn next(&mut self, free: usize) -> Option<(MerchantId, T)> {
        let (in_progress, _, id) = *self.order.first()?;
        if free == 0 || in_progress >= free * SHARE {
            return None;
        }
        let (first, taken) = self.change(id, |merchant, turns| {
            merchant.in_progress += 1;
            merchant.last_turn = turns;
            let first = merchant.first.pop_front();
            (
                first.is_some(),
                first.or_else(|| merchant.queue.pop_front()),
            )
        });
        let taken = taken?;
        self.in_progress += 1;
        if first {
            self.first_ids.remove(&taken.id);
        } else {
            self.ids.remove(&taken.id);
        }
        Some((id, taken.item))
    }

    fn end(&mut self, id: MerchantId) {
        self.in_progress = self.in_progress.saturating_sub(1);
        self.change(id, |merchant, _| {
            merchant.in_progress = merchant.in_progress.saturating_sub(1);
        });
    }

    fn drain(&mut self) -> Vec<T> {
        self.ids.clear();
        self.first_ids.clear();
        self.order.clear();
        let merchants = self.merchants.values_mut();
        let queued =
            merchants.flat_map(|merchant| merchant.first.drain(..).chain(merchant.queue.drain(..)));
        queued.map(|queued| queued.item).collect()
    }

    fn drop_old(&mut self, now: Instant) {
        let is_old = |queued: &Queued<T>| now.duration_since(queued.at) > MAX_AGE;
        let has_old = |merchant: &Merchant<T>| {
            let oldest = [merchant.first.front(), merchant.queue.front()];
            oldest.into_iter().flatten().any(is_old)
        };
        let merchants = self.merchants.iter();
        let old: Vec<_> = merchants
            .filter(|(_, merchant)| has_old(merchant))
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            let dropped = self.change(id, |merchant, _| {
                [&mut merchant.first, &mut merchant.queue].map(|queue| {
                    let mut dropped = Vec::new();
                    while let Some(queued) = queue.pop_front_if(|queued| is_old(queued)) {
                        dropped.push(queued.id);
                    }
                    dropped
                })
            });
            for (ids, dropped) in [&mut self.first_ids, &mut self.ids]
                .into_iter()
                .zip(dropped)
            {
                for id in dropped {
                    ids.remove(&id);
                }
            }
        }
    }

    /// Changes a merchant, and its place in the order.
    fn change<R>(&mut self, id: MerchantId, change: impl FnOnce(&mut Merchant<T>, u64) -> R) -> R {
        self.turns += 1;
        let merchant = self.merchants.entry(id).or_insert_with(|| Merchant {
            first: VecDeque::new(),
            queue: VecDeque::new(),
            in_progress: 0,
            last_turn: 0,
        });
        self.order
            .remove(&(merchant.in_progress, merchant.last_turn, id));
        let result = change(merchant, self.turns);
        if !merchant.first.is_empty() || !merchant.queue.is_empty() {
            self.order
                .insert((merchant.in_progress, merchant.last_turn, id));
        } else if merchant.in_progress == 0 {
            self.merchants.remove(&id);
        }
        result
    }
}

#[cfg(test)]
mod tests;
