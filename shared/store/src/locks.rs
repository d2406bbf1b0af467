//! Advisory locks, which a transaction holds until it ends. A lane commits the calls of many merchants, so that it never waits
//! for a lock: a call whose lock is taken is not carried out, and its caller submits it again.

use std::collections::HashSet;

use diesel::prelude::*;

use super::statement::{rows, statement};
use khata_domain::MerchantId;

/// Kind of a lock. Keys of different kinds are never equal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lock {
    /// An `Idempotency-Key`.
    Call = 1,
    /// An account at a bank, in all its spellings.
    Account = 2,
    /// A customer's reference.
    Customer = 3,
    /// A merchant's budget of penny drops.
    Budget = 4,
    /// A slot of a merchant's budget.
    BudgetSlot = 5,
    /// A merchant's list of webhook endpoints.
    Endpoints = 6,
}

impl Lock {
    /// Bits of a key below its kind.
    const BITS: u32 = 60;
    const MASK: i64 = (1 << Self::BITS) - 1;

    /// Returns the key of what these random bytes identify.
    pub(super) fn key(self, random: [u8; 8]) -> i64 {
        (self as i64) << Self::BITS | (i64::from_be_bytes(random) & Self::MASK)
    }

    /// Returns the key of what the merchant has one of.
    pub(super) fn of_merchant(self, merchant: MerchantId) -> i64 {
        self.of(merchant, [0; 8])
    }

    /// Returns the key of what these random bytes identify for the merchant.
    pub(super) fn of(self, merchant: MerchantId, random: [u8; 8]) -> i64 {
        // The last 8 bytes of a UUID are its random part.
        let of_merchant = merchant.0.as_u64_pair().1;
        self.key((of_merchant ^ u64::from_be_bytes(random)).to_be_bytes())
    }
}

/// Returns the keys in the order in which every transaction takes them, each once: of two transactions that want the same keys, the
/// one that takes the first key takes all.
pub(super) fn in_order(mut keys: Vec<i64>) -> Vec<i64> {
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Takes these locks as far as no other transaction holds them, and returns those taken.
pub(super) fn try_lock(connection: &mut PgConnection, keys: Vec<i64>) -> QueryResult<HashSet<i64>> {
    let taken: Vec<(i64, bool)> =
        statement("select wanted.key, pg_try_advisory_xact_lock(wanted.key) from $1 as wanted")
            .rows(rows!(in_order(keys), key => { key = *key }))
            .tuples(connection)?;
    let taken = taken.into_iter().filter(|(_, is_taken)| *is_taken);
    Ok(taken.map(|(key, _)| key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_kinds_are_never_equal() {
        for random in [[0; 8], [0x7f; 8], [0xff; 8]] {
            let kinds = [
                Lock::Call,
                Lock::Account,
                Lock::Customer,
                Lock::Budget,
                Lock::BudgetSlot,
                Lock::Endpoints,
            ];
            let keys: HashSet<i64> = kinds.iter().map(|kind| kind.key(random)).collect();
            assert_eq!(keys.len(), kinds.len());
            // Migrations take a smaller key, and the scores of gateways take negative ones.
            assert!(keys.iter().all(|key| *key > Lock::MASK), "{keys:?}");
        }
    }
}
