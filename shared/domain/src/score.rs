//! Recent results of a gateway account for accounts at one bank, or behind one UPI handle.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::account::Details;
use crate::decay::Decay;

/// Age at which a result counts half.
pub const HALF_LIFE: Duration = Duration::from_mins(10);
/// Final results credited to every gateway account, so that one failure does not decide.
const CREDIT: f64 = 3.0;
/// Step in which success is compared.
const STEP: f64 = 0.05;
/// Weight of a new latency in the average.
const SMOOTHING: f64 = 0.2;
/// Length above which a UPI handle is not counted separately; real handles are shorter.
const MAX_HANDLE_LENGTH: usize = 32;

/// The key of a score: the bank, by the first four letters of the IFSC, or the UPI handle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bank(String);

impl Bank {
    pub fn of(details: &Details) -> Self {
        match details {
            Details::Bank(bank) => Self(bank.ifsc.as_str()[..4].to_owned()),
            Details::Upi(vpa) if vpa.handle().len() <= MAX_HANDLE_LENGTH => {
                Self(format!("@{}", vpa.handle()))
            }
            Details::Upi(_) => Self("@".to_owned()),
        }
    }

    /// Returns the text to store and show: `HDFC`, `@okhdfcbank`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Decaying counts of results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Attempts with a final result.
    pub conclusive: f64,
    /// Attempts without a final result.
    pub failed: f64,
    /// Average time from the beginning of an attempt to its result, in milliseconds.
    pub latency_ms: Option<f64>,
    /// When the counts were updated.
    pub counted_at: DateTime<Utc>,
}

impl Score {
    /// Returns the score of a gateway account without results.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            conclusive: 0.0,
            failed: 0.0,
            latency_ms: None,
            counted_at: now,
        }
    }

    /// Returns the score after these further results.
    #[must_use]
    pub fn after(
        self,
        conclusive: u32,
        failed: u32,
        latency_ms: Option<f64>,
        now: DateTime<Utc>,
    ) -> Self {
        let decay = Decay::between(self.counted_at, now, HALF_LIFE);
        let latency_ms = match (self.latency_ms, latency_ms) {
            (Some(old), Some(new)) => Some(old + SMOOTHING * (new - old)),
            (old, new) => new.or(old),
        };
        Self {
            conclusive: decay.of(self.conclusive) + f64::from(conclusive),
            failed: decay.of(self.failed) + f64::from(failed),
            latency_ms,
            counted_at: now,
        }
    }

    /// Returns the sum of the scores of several banks, as of now; latencies are weighted by final results.
    #[must_use]
    pub fn total<'a>(scores: impl IntoIterator<Item = &'a Self>, now: DateTime<Utc>) -> Self {
        let mut total = Self::new(now);
        let (mut latencies, mut timed) = (0.0, 0.0);
        for score in scores {
            let decay = Decay::between(score.counted_at, now, HALF_LIFE);
            let conclusive = decay.of(score.conclusive);
            total.conclusive += conclusive;
            total.failed += decay.of(score.failed);
            if let Some(latency) = score.latency_ms {
                latencies += conclusive * latency;
                timed += conclusive;
            }
        }
        total.latency_ms = (timed > 0.0).then(|| latencies / timed);
        total
    }

    /// Returns the share of attempts with a final result, 0 to 1. The credit lets a new gateway account be tried, and an old
    /// one again after its failures have decayed.
    pub fn success(&self, now: DateTime<Utc>) -> f64 {
        let decay = Decay::between(self.counted_at, now, HALF_LIFE);
        let (conclusive, failed) = (decay.of(self.conclusive) + CREDIT, decay.of(self.failed));
        conclusive / (conclusive + failed)
    }

    /// Returns the number of attempts behind the score.
    pub fn weight(&self, now: DateTime<Utc>) -> f64 {
        let decay = Decay::between(self.counted_at, now, HALF_LIFE);
        decay.of(self.conclusive + self.failed)
    }

    /// Returns the sort key, best first: success in steps of five hundredths, then latency in powers of two. Smaller
    /// differences are ignored, so that the choice does not change with each result.
    pub(crate) fn rank(&self, now: DateTime<Utc>) -> (i32, i32) {
        #[allow(clippy::cast_possible_truncation, reason = "small numbers")]
        let steps = ((1.0 - self.success(now)) / STEP).round() as i32;
        #[allow(clippy::cast_possible_truncation, reason = "small numbers")]
        let doublings = self
            .latency_ms
            .map_or(0, |latency| latency.max(1.0).log2().round() as i32);
        (steps, doublings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountNumber, BankAccount, Ifsc, Vpa};

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minutes, 0).unwrap()
    }

    #[test]
    fn failures_count_and_decay() {
        let new = Score::new(at(0));
        let bad = new.after(10, 10, Some(200.0), at(0));
        assert!(bad.rank(at(0)) > new.rank(at(0)));
        assert!((bad.success(at(0)) - 13.0 / 23.0).abs() < 1e-9);
        assert_eq!(bad.rank(at(100)).0, 0);
        assert!(new.after(0, 1, None, at(0)).success(at(0)) > 0.7);
    }

    #[test]
    fn a_total_adds_decayed_counts_of_all_banks() {
        let quick = Score::new(at(0)).after(30, 0, Some(100.0), at(0));
        let slow = Score::new(at(10)).after(5, 5, Some(400.0), at(10));
        let silent = Score::new(at(10)).after(0, 4, None, at(10));
        let total = Score::total([&quick, &slow, &silent], at(10));
        // Ten minutes are the half-life.
        assert!((total.conclusive - 20.0).abs() < 1e-9 && (total.failed - 9.0).abs() < 1e-9);
        assert!((total.latency_ms.unwrap() - 175.0).abs() < 1e-9);
        assert_eq!(Score::total([], at(10)), Score::new(at(10)));
        assert_eq!(Score::total([&silent], at(10)).latency_ms, None);
    }

    #[test]
    fn of_two_reliable_gateway_accounts_the_faster_ranks_first() {
        let quick = Score::new(at(0)).after(50, 0, Some(120.0), at(0));
        let slow = Score::new(at(0)).after(50, 0, Some(9_000.0), at(0));
        assert!(quick.rank(at(0)) < slow.rank(at(0)));
        let alike = Score::new(at(0)).after(50, 0, Some(125.0), at(0));
        assert_eq!(quick.rank(at(0)), alike.rank(at(0)));
    }

    #[test]
    fn results_are_counted_by_bank_and_by_handle() {
        let bank = Details::Bank(BankAccount {
            ifsc: Ifsc::parse("HDFC0000001").unwrap(),
            account_number: AccountNumber::parse("00011020001772").unwrap(),
            beneficiary_name: None,
        });
        assert_eq!(Bank::of(&bank).as_str(), "HDFC");
        let upi = |vpa: &str| Bank::of(&Details::Upi(Vpa::parse(vpa).unwrap()));
        assert_eq!(upi("asha@okhdfcbank").as_str(), "@okhdfcbank");
        assert_eq!(upi(&format!("asha@{}", "a".repeat(40))).as_str(), "@");
    }
}
