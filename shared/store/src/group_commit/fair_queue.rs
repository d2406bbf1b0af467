//! The queue of a lane: requests wait by merchant, and merchants take turns.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem;

use khata_domain::MerchantId;

/// Maximum rows of the requests in one transaction.
pub const MAX_BATCH: usize = 256;
/// Maximum bytes of the requests in one transaction: few enough that Postgres writes them within some milliseconds.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Batches that a merchant may have in a queue: about as much as a lane commits before the first caller gives up.
const BATCHES_OF_MERCHANT: usize = 64;
/// Batches in a queue.
const BATCHES_OF_QUEUE: usize = 256;

/// How much of a transaction a request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    pub rows: usize,
    /// Bytes that the statements carry; 0 for rows that are always small.
    pub bytes: usize,
}

impl Weight {
    /// One small row.
    pub const ROW: Self = Self { rows: 1, bytes: 0 };
    /// Maximum of one transaction, unless a lane has a smaller one. A single request may be heavier.
    pub const BATCH: Self = Self {
        rows: MAX_BATCH,
        bytes: MAX_BATCH_BYTES,
    };

    const fn times(self, factor: usize) -> Self {
        Self {
            rows: self.rows * factor,
            bytes: self.bytes * factor,
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            rows: self.rows - other.rows,
            bytes: self.bytes - other.bytes,
        }
    }

    /// Whether this is no more than the limit.
    pub const fn fits(self, limit: Self) -> bool {
        self.rows <= limit.rows && self.bytes <= limit.bytes
    }
}

/// Requests that wait for a transaction. Each merchant has a queue; a batch takes one request of each in turn, until the next
/// one does not fit. A merchant that arrives comes before those that had a request in the last batch, and after the others, so
/// that it waits for at most one request of each other merchant.
pub(super) struct FairQueue<R> {
    /// Maximum of a batch.
    batch: Weight,
    /// Rows that each merchant may add, after its turn, to a batch that has the last request of another merchant.
    beside_others: usize,
    /// Only merchants with a request.
    merchants: HashMap<MerchantId, OfMerchant<R>>,
    /// Merchants in the order of their next turns.
    next: VecDeque<MerchantId>,
    /// Merchants that had a turn and have another request: they come after `next`.
    served: VecDeque<MerchantId>,
    waiting: Weight,
}

struct OfMerchant<R> {
    requests: VecDeque<(Weight, R)>,
    waiting: Weight,
}

impl<R> FairQueue<R> {
    /// Makes an empty queue with batches of at most this weight, and after its turn at most `beside_others` rows of each merchant if the
    /// batch has the last request of another one.
    pub(super) fn new(batch: Weight, beside_others: usize) -> Self {
        Self {
            batch,
            beside_others,
            merchants: HashMap::new(),
            next: VecDeque::new(),
            served: VecDeque::new(),
            waiting: Weight::default(),
        }
    }

    /// Takes all requests out.
    pub(super) fn take_all(&mut self) -> Self {
        mem::replace(self, Self::new(self.batch, self.beside_others))
    }

    /// Adds a request, or returns it if its merchant has too much in the queue. The first request of a merchant always enters,
    /// so that no merchant keeps another one out. `waits` returns whether a request still has a caller.
    pub(super) fn push(
        &mut self,
        merchant: MerchantId,
        weight: Weight,
        request: R,
        waits: impl Fn(&R) -> bool,
    ) -> Result<(), R> {
        // A request without rows would add nothing to a batch, which would then hold any number of them.
        let rows = weight.rows.max(1);
        let weight = Weight { rows, ..weight };
        let of_merchant = self.batch.times(BATCHES_OF_MERCHANT);
        let of_queue = self.batch.times(BATCHES_OF_QUEUE);
        match self.merchants.entry(merchant) {
            Entry::Vacant(entry) => {
                entry.insert(OfMerchant {
                    requests: VecDeque::from([(weight, request)]),
                    waiting: weight,
                });
                self.next.push_back(merchant);
            }
            Entry::Occupied(mut entry) => {
                let own = entry.get_mut();
                let has_room = |own: &OfMerchant<R>, all: Weight| {
                    own.waiting.plus(weight).fits(of_merchant) && all.plus(weight).fits(of_queue)
                };
                if !has_room(own, self.waiting) {
                    self.waiting = self.waiting.minus(own.drop_abandoned(waits));
                    if !own.requests.is_empty() && !has_room(own, self.waiting) {
                        return Err(request);
                    }
                }
                own.requests.push_back((weight, request));
                own.waiting = own.waiting.plus(weight);
            }
        }
        self.waiting = self.waiting.plus(weight);
        Ok(())
    }

    /// Takes the next batch, of at most this many rows, without requests whose callers have gone.
    pub(super) fn take_batch(&mut self, rows: usize, waits: impl Fn(&R) -> bool) -> Vec<R> {
        let rows = rows.min(self.batch.rows);
        let mut limit = Weight { rows, ..self.batch };
        self.next.append(&mut self.served);
        let (mut batch, mut weight) = (Vec::new(), Weight::default());
        let mut had_each_a_turn = false;
        while weight.rows < limit.rows {
            if self.next.is_empty() {
                mem::swap(&mut self.next, &mut self.served);
                // Only a caller whose merchant has nothing more gains from a short commit.
                if !had_each_a_turn && self.next.len() < batch.len() {
                    let added = self.next.len().saturating_mul(self.beside_others);
                    limit.rows = limit.rows.min(weight.rows.saturating_add(added));
                }
                had_each_a_turn = true;
            }
            let Some(merchant) = self.next.pop_front() else {
                break;
            };
            let Entry::Occupied(mut entry) = self.merchants.entry(merchant) else {
                continue;
            };
            let own = entry.get_mut();
            self.waiting = self.waiting.minus(own.drop_abandoned(&waits));
            if let Some(next) = own.requests.front().map(|(weight, _)| *weight)
                && !batch.is_empty()
                && !weight.plus(next).fits(limit)
            {
                self.next.push_front(merchant);
                break;
            }
            if let Some((taken, request)) = own.requests.pop_front() {
                own.waiting = own.waiting.minus(taken);
                self.waiting = self.waiting.minus(taken);
                weight = weight.plus(taken);
                batch.push(request);
            }
            if own.requests.is_empty() {
                entry.remove();
            } else {
                self.served.push_back(merchant);
            }
        }
        if had_each_a_turn {
            self.next.append(&mut self.served);
            mem::swap(&mut self.next, &mut self.served);
        }
        batch
    }
}

impl<R> OfMerchant<R> {
    /// Drops the oldest requests as far as their callers have gone, and returns their weight.
    fn drop_abandoned(&mut self, waits: impl Fn(&R) -> bool) -> Weight {
        let mut dropped = Weight::default();
        while let Some((weight, _)) = self.requests.pop_front_if(|(_, request)| !waits(request)) {
            dropped = dropped.plus(weight);
        }
        self.waiting = self.waiting.minus(dropped);
        dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OF_MERCHANT: Weight = Weight::BATCH.times(BATCHES_OF_MERCHANT);

    /// A request: its merchant's index and its number.
    type Request = (usize, usize);

    struct Test {
        queue: FairQueue<Request>,
        merchants: Vec<MerchantId>,
    }

    impl Test {
        fn new(merchants: usize) -> Self {
            Self {
                queue: FairQueue::new(Weight::BATCH, MAX_BATCH),
                merchants: (0..merchants).map(|_| MerchantId::new()).collect(),
            }
        }

        fn push(&mut self, (merchant, number): Request, rows: usize, bytes: usize) -> bool {
            let id = self.merchants[merchant];
            let weight = Weight { rows, bytes };
            self.queue
                .push(id, weight, (merchant, number), |_| true)
                .is_ok()
        }

        fn push_all(&mut self, requests: impl IntoIterator<Item = Request>) {
            for request in requests {
                assert!(self.push(request, 1, 0));
            }
        }

        fn take(&mut self) -> Vec<Request> {
            self.queue.take_batch(MAX_BATCH, |_| true)
        }
    }

    fn many(merchant: usize, count: usize) -> impl Iterator<Item = Request> {
        (0..count).map(move |number| (merchant, number))
    }

    #[test]
    fn merchants_take_turns_and_each_keeps_its_order() {
        let mut test = Test::new(3);
        test.push_all(many(0, 4));
        test.push_all(many(1, 2));
        test.push_all(many(2, 1));
        let expected = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2), (0, 3)];
        assert_eq!(test.take(), expected);
        assert!(test.queue.merchants.is_empty() && test.take().is_empty());
    }

    #[test]
    fn a_single_request_is_in_the_next_batch_however_many_others_wait() {
        let mut test = Test::new(2);
        test.push_all(many(0, 1_000));
        assert_eq!(test.take().len(), MAX_BATCH);
        test.push_all([(1, 0)]);
        assert!(test.take().contains(&(1, 0)));
    }

    #[test]
    fn a_merchant_without_a_turn_comes_before_one_that_fills_each_batch() {
        let mut test = Test::new(2);
        for request in many(0, 3) {
            assert!(test.push(request, 1, MAX_BATCH_BYTES));
        }
        assert_eq!(test.take(), [(0, 0)]);
        assert!(test.push((1, 0), 1, 100));
        assert_eq!(test.take(), [(1, 0)]);
        assert_eq!(test.take(), [(0, 1)]);
    }

    #[test]
    fn a_merchant_adds_few_rows_to_a_batch_for_which_another_one_waits() {
        let mut test = Test::new(3);
        test.queue.beside_others = 3;
        test.push_all(many(0, 20));
        assert_eq!(test.queue.take_batch(7, |_| true).len(), 7, "alone");
        test.push_all(many(1, 1));
        assert_eq!(test.take(), [(1, 0), (0, 7), (0, 8), (0, 9), (0, 10)]);
        test.push_all(many(1, 9).chain(many(2, 1)));
        assert_eq!(test.take().len(), 3 + 2 * 3, "two merchants have more");
        test.push_all(many(0, 200).chain(many(1, 200)));
        assert_eq!(test.take().len(), MAX_BATCH, "each has more");
        assert!(test.push((2, 1), MAX_BATCH, 0));
        assert_eq!(test.take(), [(2, 1)], "a heavy request leaves no room");
        test.push_all(many(2, 1));
        while !test.take().is_empty() {}
        assert!(test.queue.merchants.is_empty());
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_in_bytes() {
        let mut test = Test::new(1);
        let weights = [
            (100, 0),
            (156, 0),
            (1, 0),
            (1, MAX_BATCH_BYTES),
            (1, 2 * MAX_BATCH_BYTES),
            (10 * MAX_BATCH, 0),
            (1, MAX_BATCH_BYTES / 2),
            (1, MAX_BATCH_BYTES / 2),
        ];
        for (number, (rows, bytes)) in weights.into_iter().enumerate() {
            assert!(test.push((0, number), rows, bytes));
        }
        let batches = std::iter::repeat_with(|| test.take().len());
        let sizes: Vec<usize> = batches.take_while(|size| *size > 0).collect();
        assert_eq!(sizes, [2, 2, 1, 1, 2]);
    }

    #[test]
    fn a_merchant_that_fills_its_share_keeps_no_other_one_out() {
        let mut test = Test::new(10);
        let rows = OF_MERCHANT.rows / 4;
        // The first four merchants fill the whole queue, each its own share.
        for merchant in 0..4 {
            let taken = (0..6).filter(|number| test.push((merchant, *number), rows, 0));
            assert_eq!(taken.count(), 4);
        }
        assert!(test.push((4, 0), rows, 0), "the first one always enters");
        assert!(!test.push((4, 1), rows, 0), "the queue is full");
        let bytes = OF_MERCHANT.bytes;
        assert!(test.push((5, 0), 1, 2 * bytes));
        assert!(!test.push((5, 1), 1, 0));
        for _ in 0..3 {
            test.take();
        }
        assert!(test.push((0, 9), rows, 0), "batches made room");
    }

    #[test]
    fn a_request_without_a_caller_takes_no_room() {
        let mut test = Test::new(2);
        let merchant = test.merchants[0];
        let half = Weight {
            rows: OF_MERCHANT.rows / 2,
            bytes: 0,
        };
        test.push_all([(1, 0)]);
        for number in [1, 2] {
            assert!(test.push((0, number), half.rows, 0));
        }
        let waits = |(_, number): &Request| *number != 1;
        let mut push = |number| test.queue.push(merchant, half, (0, number), waits).is_ok();
        assert!(push(3), "the caller of 1 has gone");
        assert!(!push(4));
        let batch = test.queue.take_batch(MAX_BATCH, |(merchant, number)| {
            (*merchant, *number) != (0, 2)
        });
        assert_eq!(batch, [(1, 0)], "3 is heavier than the rest of the batch");
        assert_eq!(test.take(), [(0, 3)]);
        assert!(test.queue.merchants.is_empty());
        assert_eq!(test.queue.waiting, Weight::default());
    }

    /// Requests of up to 5 merchants, and batches between them.
    fn steps() -> impl Strategy<Value = Vec<Option<(usize, Weight)>>> {
        let weight = (0..300_usize, 0..300_000_usize);
        let weight = weight.prop_map(|(rows, bytes)| Weight { rows, bytes });
        let step = prop_oneof![
            4 => (0..5_usize, weight).prop_map(Some),
            1 => Just(None),
        ];
        proptest::collection::vec(step, 0..50)
    }

    proptest! {
        #[test]
        fn every_request_is_taken_once_and_no_merchant_overtakes_another_twice(
            steps in steps(),
            beside_others in 0..20_usize,
        ) {
            let mut test = Test::new(5);
            test.queue.beside_others = beside_others;
            let mut weights = Vec::new();
            let mut left: [VecDeque<usize>; 5] = Default::default();
            // How many requests of each other merchant were taken while this one waited for its turn.
            let mut overtaken = [[0; 5]; 5];
            let drain = std::iter::repeat_n(None, steps.len());
            for step in steps.into_iter().chain(drain) {
                if let Some((merchant, weight)) = step {
                    let number = weights.len();
                    weights.push(weight);
                    prop_assert!(test.push((merchant, number), weight.rows, weight.bytes));
                    if left[merchant].is_empty() {
                        overtaken[merchant] = [0; 5];
                    }
                    left[merchant].push_back(number);
                    continue;
                }
                let batch = test.take();
                prop_assert_eq!(batch.is_empty(), left.iter().all(VecDeque::is_empty));
                let total = batch.iter().map(|(_, number)| weights[*number]);
                let total = total.fold(Weight::default(), Weight::plus);
                prop_assert!(batch.len() <= 1 || total.fits(Weight::BATCH));
                for (merchant, number) in batch {
                    prop_assert_eq!(left[merchant].pop_front(), Some(number));
                    overtaken[merchant] = [0; 5];
                    for other in (0..5).filter(|other| *other != merchant) {
                        overtaken[other][merchant] += usize::from(!left[other].is_empty());
                        prop_assert!(overtaken[other][merchant] <= 2);
                    }
                }
            }
            prop_assert!(test.queue.merchants.is_empty());
            prop_assert_eq!(test.queue.waiting, Weight::default());
        }
    }
}
