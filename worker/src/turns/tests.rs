use proptest::prelude::*;

use super::*;

fn key(merchant: MerchantId) -> (MerchantId, Uuid) {
    (merchant, Uuid::new_v4())
}

fn push(turns: &mut Turns<u32>, urgency: Urgency, merchant: MerchantId, count: u32) {
    for item in 0..count {
        turns.push(urgency, key(merchant), item).unwrap();
    }
}

/// Begins all that may begin; returns how many of each merchant did.
fn begin(turns: &mut Turns<u32>) -> HashMap<MerchantId, usize> {
    let mut begun = HashMap::new();
    while let Some((_, merchant, _)) = turns.next() {
        *begun.entry(merchant).or_default() += 1;
    }
    begun
}

#[test]
fn one_merchant_leaves_permits_to_others() {
    for concurrency in [3, 4, 8, 100, 512] {
        let mut turns = Turns::new(concurrency);
        let [slow, other] = [MerchantId::new(), MerchantId::new()];
        push(&mut turns, Urgency::Other, slow, 2_000);
        let begun = begin(&mut turns)[&slow];
        assert_eq!(
            begun,
            share_of_one(concurrency).min(concurrency),
            "{concurrency}"
        );
        push(&mut turns, Urgency::Other, other, 1);
        let is_free = begun < concurrency;
        assert_eq!(
            begin(&mut turns).contains_key(&other),
            is_free,
            "{concurrency}"
        );
    }
}

#[test]
fn the_merchant_with_the_fewest_in_progress_comes_first_and_equals_take_turns() {
    let mut turns = Turns::new(100);
    let merchants = [(); 3].map(|()| MerchantId::new());
    push(&mut turns, Urgency::Other, merchants[0], 6);
    for _ in 0..2 {
        assert_eq!(turns.next().unwrap().1, merchants[0]);
    }
    push(&mut turns, Urgency::Other, merchants[1], 6);
    push(&mut turns, Urgency::Other, merchants[2], 6);
    let mut count = HashMap::from([(merchants[0], 2)]);
    for _ in 0..10 {
        let merchant = turns.next().unwrap().1;
        *count.entry(merchant).or_default() += 1;
    }
    assert!(count.values().all(|begun| *begun == 4), "{count:?}");
    turns.end(Urgency::Other, merchants[1]);
    assert_eq!(turns.next().unwrap().1, merchants[1]);
}

#[test]
fn awaited_validations_have_permits_of_their_own_and_come_first() {
    let mut turns = Turns::new(8);
    let merchants = [(); 9].map(|()| MerchantId::new());
    for merchant in merchants {
        push(&mut turns, Urgency::Other, merchant, 9);
    }
    let begun: Vec<_> = begin(&mut turns).into_keys().collect();
    assert_eq!(begun.len(), 8);
    push(&mut turns, Urgency::Awaited, merchants[0], 3);
    assert_eq!(turns.next().unwrap().0, Urgency::Awaited);
    assert!(turns.next().is_none());
    turns.end(Urgency::Other, begun[3]);
    assert_eq!(
        turns.next().unwrap().0,
        Urgency::Awaited,
        "before the others"
    );
    turns.end(Urgency::Awaited, merchants[0]);
    turns.end(Urgency::Awaited, merchants[0]);
    assert_eq!(turns.next().unwrap().0, Urgency::Awaited);
    assert_eq!(turns.next().unwrap().0, Urgency::Other);
    assert!(turns.next().is_none());
}

#[test]
fn a_validation_is_queued_once() {
    let mut turns = Turns::new(8);
    let key = key(MerchantId::new());
    turns.push(Urgency::Other, key, 1).unwrap();
    assert_eq!(turns.push(Urgency::Other, key, 2), Err(2));
    turns.push(Urgency::Awaited, key, 3).unwrap();
    assert_eq!(turns.next().unwrap().2, 3);
    assert_eq!(turns.next().unwrap().2, 1);
    turns.push(Urgency::Other, key, 4).unwrap();
}

#[test]
fn a_full_queue_leaves_room_for_other_merchants() {
    let mut turns = Turns::new(8);
    let (many, one) = (MerchantId::new(), MerchantId::new());
    let queued = (0..MAX_QUEUED)
        .take_while(|_| turns.push(Urgency::Other, key(many), 1).is_ok())
        .count();
    assert_eq!(queued, MAX_QUEUED / 2);
    turns.push(Urgency::Other, key(one), 1).unwrap();
    assert_eq!(turns.merchants_with(2), [many]);
    assert_eq!(turns.drain().len(), queued + 1);
    assert!(turns.next().is_none());
}

#[test]
fn a_validation_that_waits_for_too_long_is_dropped() {
    let mut turns = Turns::new(8);
    let merchant = MerchantId::new();
    push(&mut turns, Urgency::Other, merchant, 2);
    turns.drop_old(Instant::now() + MAX_AGE / 2);
    assert_eq!(turns.queued(), 2);
    turns.drop_old(Instant::now() + 2 * MAX_AGE);
    assert_eq!((turns.queued(), turns.next()), (0, None));
    push(&mut turns, Urgency::Other, merchant, 1);
    assert!(turns.next().is_some());
}

#[test]
fn what_may_complete_begins_before_the_flood_of_its_merchant_and_has_room() {
    let mut turns = Turns::new(8);
    let merchant = MerchantId::new();
    let flood = (0..MAX_QUEUED)
        .take_while(|_| turns.push(Urgency::Other, key(merchant), 1).is_ok())
        .count();
    let looks = (0..MAX_FIRST)
        .take_while(|_| turns.push_first(Urgency::Other, key(merchant), 2).is_ok())
        .count();
    assert_eq!(looks, MAX_FIRST / 2);
    assert_eq!(turns.merchants_with_first(looks), [merchant]);
    assert_eq!(turns.next().unwrap().2, 2);
    assert_eq!(turns.queued(), flood + looks - 1);
    turns.drop_old(Instant::now() + 2 * MAX_AGE);
    assert_eq!((turns.queued(), turns.next()), (0, None));
    turns.push_first(Urgency::Other, key(merchant), 2).unwrap();
    assert_eq!(turns.drain(), [2]);
}

/// Each of the eight goes on with the next one of a queue, so that no permit becomes free by itself.
#[test]
fn a_queue_gives_its_permit_to_a_merchant_that_has_fewer_in_progress() {
    let mut turns = Turns::new(8);
    let [many, other, ninth] = [(); 3].map(|()| MerchantId::new());
    push(&mut turns, Urgency::Other, many, 6);
    push(&mut turns, Urgency::Other, other, 1);
    begin(&mut turns);
    assert!(!turns.should_yield(Urgency::Other, many), "nobody waits");
    push(&mut turns, Urgency::Other, many, 1);
    assert!(
        !turns.should_yield(Urgency::Other, many),
        "only itself waits"
    );
    push(&mut turns, Urgency::Other, ninth, 1);
    assert!(turns.should_yield(Urgency::Other, many));
    assert!(turns.should_yield(Urgency::Other, other));
    turns.end(Urgency::Other, many);
    assert_eq!(turns.next().unwrap().1, ninth);
    assert!(!turns.should_yield(Urgency::Other, other), "it has as few");
    // A caller waits, and has no permit.
    push(&mut turns, Urgency::Awaited, many, 2);
    assert!(turns.should_yield(Urgency::Other, other));
    assert!(!turns.should_yield(Urgency::Awaited, many));
}

proptest! {
    /// However validations come and end: never more than the permits, and the order has each merchant that waits, once.
    #[test]
    fn no_more_begin_than_permits(
        concurrency in 1usize..20,
        steps in proptest::collection::vec((0usize..4, any::<bool>(), 0usize..4), 1..200),
    ) {
        let merchants = [(); 4].map(|()| MerchantId::new());
        let mut turns = Turns::new(concurrency);
        let mut running = Vec::new();
        for (merchant, awaited, what) in steps {
            let urgency = if awaited { Urgency::Awaited } else { Urgency::Other };
            match what {
                0 => turns.push(urgency, key(merchants[merchant]), 0).unwrap(),
                3 => turns.push_first(urgency, key(merchants[merchant]), 0).unwrap(),
                1 => running.extend(turns.next().map(|(urgency, merchant, _)| (urgency, merchant))),
                _ => if let Some((urgency, merchant)) = running.pop() {
                    turns.end(urgency, merchant);
                }
            }
            prop_assert_eq!(turns.in_progress(), running.len());
            prop_assert!(running.len() <= concurrency + awaited_permits(concurrency));
            let others = running.iter().filter(|(urgency, _)| *urgency == Urgency::Other).count();
            prop_assert!(others <= concurrency);
            for queues in [&turns.awaited, &turns.others] {
                let waiting = queues.merchants.values().filter(|merchant| {
                    !merchant.first.is_empty() || !merchant.queue.is_empty()
                });
                prop_assert_eq!(waiting.count(), queues.order.len());
            }
            // With nothing in progress, something begins.
            if running.is_empty() && turns.queued() > 0 {
                let next = turns.next();
                prop_assert!(next.is_some());
                running.extend(next.map(|(urgency, merchant, _)| (urgency, merchant)));
            }
        }
    }
}
