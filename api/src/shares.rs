//! Shares of what all merchants use together: no merchant takes more than its part of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use khata_domain::MerchantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

type Merchants = HashMap<MerchantId, Arc<Semaphore>>;

/// A quantity that merchants share.
#[derive(Clone)]
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    /// Largest share of one merchant.
    part: usize,
    /// The rest of the part of each merchant that uses some of it.
    merchants: Arc<Mutex<Merchants>>,
}

/// One user's share. It is given back when it is dropped.
pub(crate) struct Share {
    shares: Shares,
    merchant: MerchantId,
    own: Arc<Semaphore>,
    taken: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Shares {
    /// Shares `all`, of which one merchant may have `part`.
    pub(crate) fn new(all: usize, part: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all.clamp(1, Semaphore::MAX_PERMITS))),
            part: part.clamp(1, Semaphore::MAX_PERMITS),
            merchants: Arc::default(),
        }
    }

    /// Returns an empty share of this merchant, which can grow.
    pub(crate) fn of(&self, merchant: MerchantId) -> Share {
        let own = Arc::clone(
            self.merchants()
                .entry(merchant)
                .or_insert_with(|| Arc::new(Semaphore::new(self.part))),
        );
        Share {
            shares: self.clone(),
            merchant,
            own,
            taken: None,
        }
    }

    fn merchants(&self) -> MutexGuard<'_, Merchants> {
        // No code panics between two changes of the map.
        self.merchants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes this much more; `false` if the merchant or all merchants have too much already.
    pub(crate) fn try_grow(&mut self, amount: u32) -> bool {
        let own = Arc::clone(&self.own).try_acquire_many_owned(amount);
        let all = own.and_then(|own| {
            let all = Arc::clone(&self.shares.all).try_acquire_many_owned(amount)?;
            Ok((own, all))
        });
        let grows = all.is_ok();
        if let Ok((own, all)) = all {
            self.add(own, all);
        }
        grows
    }

    /// Takes memory for these bytes more, of a quantity in KiB.
    pub(crate) fn take_memory(&mut self, bytes: usize) -> Result<(), ApiError> {
        let kilobytes = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
        if self.try_grow(kilobytes) {
            Ok(())
        } else {
            Err(ApiError::TooMuchInProgress)
        }
    }

    /// Waits for one more: behind the merchant's other users, then behind those of the other merchants.
    pub(crate) async fn grow(&mut self) {
        let own = Arc::clone(&self.own).acquire_owned().await;
        let all = Arc::clone(&self.shares.all).acquire_owned().await;
        // The semaphores are never closed.
        if let (Ok(own), Ok(all)) = (own, all) {
            self.add(own, all);
        }
    }

    fn add(&mut self, own: OwnedSemaphorePermit, all: OwnedSemaphorePermit) {
        if let Some(taken) = &mut self.taken {
            taken.0.merge(own);
            taken.1.merge(all);
        } else {
            self.taken = Some((own, all));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken = None;
        let mut merchants = self.shares.merchants();
        // The map's and this one.
        if Arc::strong_count(&self.own) == 2 {
            merchants.remove(&self.merchant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_takes_at_most_its_part_and_all_merchants_take_at_most_all() {
        let shares = Shares::new(10, 6);
        let (one, two) = (MerchantId::new(), MerchantId::new());
        let mut first = shares.of(one);
        assert!(first.try_grow(4) && first.try_grow(1));
        let mut second = shares.of(one);
        assert!(!second.try_grow(2), "beyond the part of the merchant");
        assert!(second.try_grow(1));
        let mut other = shares.of(two);
        assert!(!other.try_grow(5), "beyond all");
        assert!(other.try_grow(4));
        drop(first);
        assert!(shares.of(one).try_grow(5), "a dropped share is given back");
        assert!(other.try_grow(2));
    }

    #[test]
    fn a_merchant_without_a_share_takes_no_memory() {
        let shares = Shares::new(10, 5);
        let merchant = MerchantId::new();
        let (mut one, two) = (shares.of(merchant), shares.of(merchant));
        assert!(one.try_grow(5));
        drop(one);
        assert_eq!(shares.merchants().len(), 1);
        drop(two);
        assert!(shares.merchants().is_empty());
    }
}
