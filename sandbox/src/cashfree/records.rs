//! The verifications Cashfree remembers: the newest so many, by reference id, by the caller's
//! `user_id` (the newest of that id) and by `verification_id` (good for one verification).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::cashfree::outcome::Finding;
use crate::cashfree::wire::UpiStatus;

/// Room in the tables before they grow.
const EXPECTED: usize = 1 << 16;

/// A bank account that was verified. Its number is not kept: nothing needs it again.
#[derive(Debug, Clone)]
pub(super) struct BankVerification {
    pub(super) user_id: Option<Arc<str>>,
    pub(super) ifsc: Box<str>,
    /// The name sent.
    pub(super) name: Option<Box<str>>,
    /// The name at the bank, if it is told.
    pub(super) holder: Option<Box<str>>,
    pub(super) finding: Finding,
    /// When the outcome shows; never, if there is none.
    pub(super) shows_at: Option<Instant>,
}

/// A VPA that was verified.
#[derive(Debug, Clone)]
pub(super) struct UpiVerification {
    pub(super) verification_id: Arc<str>,
    pub(super) vpa: Box<str>,
    /// The name sent.
    pub(super) name: Option<Box<str>>,
    /// The name at the bank, if it is told.
    pub(super) holder: Option<Box<str>>,
    pub(super) status: UpiStatus,
    /// By a penny drop, or by the older look-up.
    pub(super) penny_drop: bool,
}

#[derive(Debug)]
enum Verification {
    Bank(BankVerification),
    Upi(UpiVerification),
}

/// The memory. Ids are given in order without gaps, so that a record's place is its id's distance
/// from the oldest one.
#[derive(Debug)]
pub(super) struct Records {
    capacity: usize,
    oldest_id: u64,
    queue: VecDeque<Verification>,
    by_user_id: HashMap<Arc<str>, u64>,
    by_verification_id: HashMap<Arc<str>, u64>,
}

impl Records {
    /// An empty memory for `capacity` verifications; the first gets `first_id`.
    pub(super) fn new(capacity: usize, first_id: u64) -> Self {
        let expected = capacity.min(EXPECTED);
        Self {
            capacity,
            oldest_id: first_id,
            queue: VecDeque::with_capacity(expected),
            by_user_id: HashMap::with_capacity(expected),
            by_verification_id: HashMap::new(),
        }
    }

    /// Remembers a bank verification and gives its reference id. A `user_id` used before leads to
    /// this one from now on.
    pub(super) fn add_bank(&mut self, verification: BankVerification) -> u64 {
        let id = self.next_id();
        if let Some(user_id) = &verification.user_id {
            self.by_user_id.insert(Arc::clone(user_id), id);
        }
        self.push(Verification::Bank(verification));
        id
    }

    /// Remembers a VPA's verification and gives its reference id; none if its `verification_id` is used.
    pub(super) fn add_upi(&mut self, verification: UpiVerification) -> Option<u64> {
        let key = &verification.verification_id;
        if self.by_verification_id.contains_key(key) {
            return None;
        }
        let id = self.next_id();
        self.by_verification_id.insert(Arc::clone(key), id);
        self.push(Verification::Upi(verification));
        Some(id)
    }

    /// The bank verification with this reference id.
    pub(super) fn bank(&self, id: u64) -> Option<&BankVerification> {
        match self.get(id)? {
            Verification::Bank(verification) => Some(verification),
            Verification::Upi(_) => None,
        }
    }

    /// The newest bank verification with this `user_id`, and its reference id.
    pub(super) fn bank_of_user(&self, user_id: &str) -> Option<(u64, &BankVerification)> {
        let id = *self.by_user_id.get(user_id)?;
        Some((id, self.bank(id)?))
    }

    /// The VPA's verification with this `verification_id`, and its reference id.
    pub(super) fn upi(&self, verification_id: &str) -> Option<(u64, &UpiVerification)> {
        let id = *self.by_verification_id.get(verification_id)?;
        match self.get(id)? {
            Verification::Upi(verification) => Some((id, verification)),
            Verification::Bank(_) => None,
        }
    }

    fn next_id(&self) -> u64 {
        self.oldest_id + self.queue.len() as u64
    }

    fn get(&self, id: u64) -> Option<&Verification> {
        let place = usize::try_from(id.checked_sub(self.oldest_id)?).ok()?;
        self.queue.get(place)
    }

    fn push(&mut self, verification: Verification) {
        self.queue.push_back(verification);
        if self.queue.len() > self.capacity {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let id = self.oldest_id;
        self.oldest_id += 1;
        match self.queue.pop_front() {
            // The user id may lead to a newer verification by now.
            Some(Verification::Bank(BankVerification {
                user_id: Some(user_id),
                ..
            })) if self.by_user_id.get(&user_id) == Some(&id) => {
                self.by_user_id.remove(&user_id);
            }
            Some(Verification::Upi(upi)) => {
                self.by_verification_id.remove(&upi.verification_id);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cashfree::outcome::VALID;

    fn bank(user_id: Option<&str>, ifsc: &str) -> BankVerification {
        BankVerification {
            user_id: user_id.map(Arc::from),
            ifsc: ifsc.into(),
            name: None,
            holder: None,
            finding: Finding::at_once(VALID),
            shows_at: None,
        }
    }

    fn upi(verification_id: &str) -> UpiVerification {
        UpiVerification {
            verification_id: verification_id.into(),
            vpa: "asha@upi".into(),
            name: None,
            holder: None,
            status: UpiStatus::Valid,
            penny_drop: false,
        }
    }

    #[test]
    fn ids_count_up_and_lead_back() {
        let mut records = Records::new(10, 100);
        assert_eq!(records.add_bank(bank(None, "A")), 100);
        assert_eq!(records.add_upi(upi("v")), Some(101));
        assert_eq!(records.add_bank(bank(Some("u"), "B")), 102);
        assert_eq!(&*records.bank(100).unwrap().ifsc, "A");
        assert_eq!(records.bank_of_user("u").unwrap().0, 102);
        assert_eq!(records.upi("v").unwrap().0, 101);
        assert!(records.bank(101).is_none(), "a VPA is no bank account");
        assert!(records.bank(99).is_none() && records.bank(103).is_none());
        assert!(records.bank_of_user("v").is_none() && records.upi("u").is_none());
    }

    #[test]
    fn a_user_id_leads_to_its_newest_and_a_verification_id_is_good_once() {
        let mut records = Records::new(10, 1);
        records.add_bank(bank(Some("u"), "A"));
        let second = records.add_bank(bank(Some("u"), "B"));
        assert_eq!(records.bank_of_user("u").unwrap().0, second);
        assert!(records.add_upi(upi("v")).is_some());
        assert!(records.add_upi(upi("v")).is_none());
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut records = Records::new(3, 1);
        records.add_bank(bank(Some("u"), "A"));
        records.add_upi(upi("v"));
        records.add_bank(bank(Some("u"), "B"));
        records.add_bank(bank(Some("w"), "C"));
        assert!(records.bank(1).is_none());
        assert_eq!(records.bank_of_user("u").unwrap().0, 3, "the newer stays");
        records.add_bank(bank(None, "D"));
        assert!(records.upi("v").is_none());
        assert!(records.add_upi(upi("v")).is_some(), "free again");
        assert!(records.bank_of_user("u").is_none());
        assert_eq!(records.queue.len(), 3);
        assert_eq!(records.by_user_id.len(), 1);
        assert_eq!(records.by_verification_id.len(), 1);
    }
}
