//! The limits of a gateway account: calls per minute, concurrent calls, hours. What has been used so far is stored in
//! Postgres and passed in.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike, Utc};

use crate::circuit::{Circuit, CircuitState};
use crate::gateway::Method;
use crate::ids::GatewayAccountId;

/// Indian Standard Time is UTC+5:30 all year.
const IST: TimeDelta = TimeDelta::minutes(330);
const MINUTES_A_DAY: u32 = 24 * 60;

/// Window of `calls_per_minute`: 60 seconds, and the time by which a call may reach the gateway later than planned.
const WINDOW: TimeDelta = TimeDelta::seconds(63);
/// Maximum delay of a booked call; a later one is booked again.
const MAX_DELAY: TimeDelta = TimeDelta::seconds(2);
/// Estimated time until one of too many concurrent calls ends, for the choice among gateway accounts.
const BUSY_DELAY: TimeDelta = TimeDelta::milliseconds(250);

/// Limits of a gateway account, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Calls of any kind in any 60 seconds; `None`: no limit.
    pub calls_per_minute: Option<NonZeroU32>,
    /// Concurrent calls; `None`: no limit.
    pub concurrency: Option<NonZeroU32>,
    /// No limit is set: each worker limits its own calls to a share of the validations that it processes at once, so that a
    /// slow gateway leaves the others their part of every worker. Costs no count in Postgres.
    pub shares_worker: bool,
    /// Times of day at which new attempts may begin.
    pub hours: Hours,
    /// Times of day, within `hours`, at which new penny drops to UPI addresses may begin. NPCI reserves its busy hours for
    /// calls that a payer waits for (10:00–13:00 and 17:00–21:30 IST, May 2025).
    pub upi_penny_drop_hours: Hours,
    /// How long a lost response is looked up before another gateway account may be tried, at the risk of a second rupee.
    /// `None`: as long as the merchant's setting says.
    pub recover_for: Option<Duration>,
}

/// A gateway account without limits.
pub static UNLIMITED: Traffic = Traffic {
    calls_per_minute: None,
    concurrency: None,
    shares_worker: false,
    hours: Hours(Vec::new()),
    upi_penny_drop_hours: Hours(Vec::new()),
    recover_for: None,
};

impl Default for Traffic {
    fn default() -> Self {
        UNLIMITED.clone()
    }
}

impl Traffic {
    /// Whether workers share a quota, so that each call is counted in Postgres.
    pub fn is_limited(&self) -> bool {
        self.calls_per_minute.is_some() || self.concurrency.is_some()
    }

    /// Returns the reason for a call that others wait for, too.
    pub fn used_up(&self, now: DateTime<Utc>) -> Postponed {
        let is_rate = self.calls_per_minute.is_some() && self.concurrency.is_none();
        Postponed {
            at: now + BUSY_DELAY,
            why: if is_rate {
                PostponeReason::Rate
            } else {
                PostponeReason::Busy
            },
        }
    }

    /// Returns an error with the next opening time if no new attempt may begin now.
    pub fn open_at(
        &self,
        method: Method,
        is_upi: bool,
        now: DateTime<Utc>,
    ) -> Result<(), DateTime<Utc>> {
        self.hours.open_at(now)?;
        if is_upi && method == Method::PennyDrop {
            self.upi_penny_drop_hours.open_at(now)?;
        }
        Ok(())
    }
}

/// Why a call cannot be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostponeReason {
    /// Most recent calls failed.
    #[error("it is down")]
    Down,
    /// The gateway sent a `Retry-After`.
    #[error("it asked for a pause")]
    Paused,
    #[error("its calls per minute are used up")]
    Rate,
    #[error("its concurrent calls are used up")]
    Busy,
    #[error("it is outside its hours")]
    Hours,
}

impl PostponeReason {
    /// Returns the word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Rate => "rate",
            Self::Busy => "busy",
            Self::Hours => "hours",
        }
    }
}

/// The earliest time of the next call, and why none can be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponed {
    pub at: DateTime<Utc>,
    pub why: PostponeReason,
}

/// A call booked at a gateway account that limits its calls per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "diesel", derive(diesel::QueryableByName))]
pub struct Slot {
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = slot_gateway_account_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub gateway_account: GatewayAccountId,
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = slot_at, sql_type = diesel::sql_types::Timestamptz)
    )]
    pub at: DateTime<Utc>,
}

/// A place among the validations that wait until a gateway account can take their calls. The first one of a rank is the one
/// that was created first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    pub gateway_account: GatewayAccountId,
    pub rank: QueueRank,
}

/// Which validations come first in the queue of a gateway account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueRank {
    /// A caller waits for the outcome.
    Awaited = 0,
    /// The next call of an unfinished attempt: it may complete the validation.
    Unfinished = 1,
    New = 2,
}

/// The remaining quota of a gateway account at one moment. A worker takes its planned calls from it and stores it before
/// it makes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateBudget {
    pub circuit: Circuit,
    /// End of the pause that the gateway asked for.
    pub paused_until: Option<DateTime<Utc>>,
    /// When the calls made and booked so far allow another one (the theoretical arrival time of the generic cell rate
    /// algorithm).
    pub next_call_at: Option<DateTime<Utc>>,
    /// Concurrent calls of all workers.
    pub in_hand: u32,
    /// Concurrent calls that this worker may still make at an account that shares the worker; `None`: any number.
    pub share_left: Option<u32>,
}

impl RateBudget {
    /// Returns the full budget of a healthy gateway account.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            circuit: Circuit::new(now),
            paused_until: None,
            next_call_at: None,
            in_hand: 0,
            share_left: None,
        }
    }

    /// Returns an error if these calls, one after the other, cannot be made now. `booked`: the time that the first of them
    /// was booked for.
    pub fn check(
        &self,
        traffic: &Traffic,
        calls: u32,
        booked: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Postponed> {
        if let CircuitState::Open(at) = self.circuit.state(now) {
            return Err(Postponed {
                at,
                why: PostponeReason::Down,
            });
        }
        if let Some(at) = self.paused_until.filter(|at| *at > now) {
            return Err(Postponed {
                at,
                why: PostponeReason::Paused,
            });
        }
        let is_full = |limit: NonZeroU32| self.in_hand >= limit.get();
        let has_no_share = traffic.shares_worker && self.share_left == Some(0);
        if has_no_share || traffic.concurrency.is_some_and(is_full) {
            return Err(Postponed {
                at: now + BUSY_DELAY,
                why: PostponeReason::Busy,
            });
        }
        if let Some(limit) = traffic.calls_per_minute {
            let pace = Pace::of(limit);
            let booked = u32::from(is_due(booked, now));
            let mut next = self.next_call_at;
            for _ in booked..calls {
                let (at, then) = pace.take(next, now);
                if at > now {
                    return Err(Postponed {
                        at,
                        why: PostponeReason::Rate,
                    });
                }
                next = Some(then);
            }
        }
        Ok(())
    }

    /// Takes calls that [`Self::check`] allowed.
    pub fn take(
        &mut self,
        traffic: &Traffic,
        calls: u32,
        booked: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        if self.circuit.state(now) == CircuitState::HalfOpen {
            self.circuit.probed_at = Some(now);
        }
        self.in_hand = self.in_hand.saturating_add(1);
        self.share_left = self.share_left.map(|left| left.saturating_sub(1));
        if let Some(limit) = traffic.calls_per_minute {
            for _ in u32::from(is_due(booked, now))..calls {
                self.next_call_at = Some(Pace::of(limit).take(self.next_call_at, now).1);
            }
        }
    }

    /// Books the next call that the limit of calls per minute allows; `None` without such a limit.
    pub fn book(&mut self, traffic: &Traffic, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (at, then) = Pace::of(traffic.calls_per_minute?).take(self.next_call_at, now);
        self.next_call_at = Some(then);
        Some(at)
    }
}

/// Whether a booking is for now: not in the future, and not so old that the gateway counts the call in another minute.
fn is_due(booked: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    booked.is_some_and(|at| at <= now && now <= at + MAX_DELAY)
}

/// Spreads calls so that no window of 60 seconds holds more than the limit, wherever the window begins.
struct Pace {
    interval: TimeDelta,
    /// Calls that may be made at once after a quiet time.
    burst: i32,
}

impl Pace {
    fn of(limit: NonZeroU32) -> Self {
        let limit = i32::try_from(limit.get()).unwrap_or(i32::MAX);
        let burst = (limit / 20).max(1);
        Self {
            interval: WINDOW / (limit - burst + 1),
            burst,
        }
    }

    /// Returns the time of the next call, and the new `next_call_at`.
    fn take(
        &self,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> (DateTime<Utc>, DateTime<Utc>) {
        let next = next.map_or(now, |next| next.max(now));
        let at = next - self.interval * (self.burst - 1);
        (at.max(now), next + self.interval)
    }
}

/// Times of day in India, from (inclusive) to (exclusive); none means always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(Vec<(u32, u32)>);

impl Hours {
    /// Parses `["00:00-10:00", "21:30-24:00"]`; a span may cross midnight. `None` if one is malformed.
    pub fn parse<S: AsRef<str>>(spans: &[S]) -> Option<Self> {
        let minute = |text: &str| match text {
            "24:00" => Some(MINUTES_A_DAY),
            _ => NaiveTime::parse_from_str(text, "%H:%M")
                .ok()
                .map(|time| time.num_seconds_from_midnight() / 60),
        };
        let mut read = Vec::new();
        for span in spans {
            let (from, to) = span.as_ref().split_once('-')?;
            let (from, to) = (minute(from.trim())?, minute(to.trim())?);
            match from.cmp(&to) {
                std::cmp::Ordering::Less => read.push((from, to)),
                std::cmp::Ordering::Greater => read.extend([(from, MINUTES_A_DAY), (0, to)]),
                std::cmp::Ordering::Equal => return None,
            }
        }
        Some(Self(read))
    }

    /// Returns the spans as text (`13:00-17:00`); one that crosses midnight becomes two.
    pub fn spans(&self) -> Vec<String> {
        let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let spans = self.0.iter();
        spans
            .map(|(from, to)| format!("{}-{}", time(*from), time(*to)))
            .collect()
    }

    /// Returns an error with the next opening time if they are closed now.
    pub fn open_at(&self, now: DateTime<Utc>) -> Result<(), DateTime<Utc>> {
        let minute = (now + IST).time().num_seconds_from_midnight() / 60;
        if self.0.is_empty()
            || self
                .0
                .iter()
                .any(|(from, to)| (*from..*to).contains(&minute))
        {
            return Ok(());
        }
        let wait = self
            .0
            .iter()
            .map(|(from, _)| (from + MINUTES_A_DAY - minute) % MINUTES_A_DAY)
            .min()
            .unwrap_or(0);
        let into_the_minute =
            Duration::new(u64::from(now.second()), now.nanosecond() % 1_000_000_000);
        let into_the_minute = TimeDelta::from_std(into_the_minute).unwrap_or_default();
        Err(now + TimeDelta::minutes(i64::from(wait)) - into_the_minute)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(time).unwrap().to_utc()
    }

    #[test]
    fn hours_are_in_indian_standard_time() {
        let hours = Hours::parse(&["21:30-10:00", "13:00-17:00"]).unwrap();
        for (time, opens) in [
            ("2026-11-24T09:59:59+05:30", None),
            (
                "2026-11-24T10:00:00+05:30",
                Some("2026-11-24T13:00:00+05:30"),
            ),
            (
                "2026-11-24T12:59:59.5+05:30",
                Some("2026-11-24T13:00:00+05:30"),
            ),
            ("2026-11-24T13:00:00+05:30", None),
            (
                "2026-11-24T17:00:01+05:30",
                Some("2026-11-24T21:30:00+05:30"),
            ),
            ("2026-11-24T23:59:00+05:30", None),
            ("2026-11-25T00:00:00+05:30", None),
        ] {
            assert_eq!(hours.open_at(at(time)).err(), opens.map(at), "{time}");
        }
        assert_eq!(hours.spans(), ["21:30-24:00", "00:00-10:00", "13:00-17:00"]);
        assert_eq!(Hours::parse(&hours.spans()), Some(hours));
        assert!(
            Hours::default()
                .open_at(at("2026-11-24T10:30:00+05:30"))
                .is_ok()
        );
        let nights = Hours::parse(&["00:00-06:00"]).unwrap();
        assert_eq!(
            nights.open_at(at("2026-11-24T20:00:00+05:30")),
            Err(at("2026-11-25T00:00:00+05:30"))
        );
    }

    fn limited(calls_per_minute: u32, concurrency: u32) -> Traffic {
        Traffic {
            calls_per_minute: NonZeroU32::new(calls_per_minute),
            concurrency: NonZeroU32::new(concurrency),
            ..Traffic::default()
        }
    }

    #[test]
    fn concurrent_calls_are_limited() {
        let (traffic, now) = (limited(0, 2), at("2026-11-24T12:00:00Z"));
        let mut budget = RateBudget::new(now);
        for _ in 0..2 {
            budget.check(&traffic, 1, None, now).unwrap();
            budget.take(&traffic, 1, None, now);
        }
        let later = budget.check(&traffic, 1, None, now).unwrap_err();
        assert_eq!(
            (later.why, later.at),
            (PostponeReason::Busy, now + BUSY_DELAY)
        );
    }

    #[test]
    fn without_a_limit_an_account_has_its_share_of_a_worker() {
        let now = at("2026-11-24T12:00:00Z");
        let traffic = Traffic {
            shares_worker: true,
            ..Traffic::default()
        };
        let mut budget = RateBudget {
            share_left: Some(2),
            ..RateBudget::new(now)
        };
        for _ in 0..2 {
            budget.check(&traffic, 1, None, now).unwrap();
            budget.take(&traffic, 1, None, now);
        }
        let busy = budget.check(&traffic, 1, None, now).unwrap_err();
        assert_eq!(busy.why, PostponeReason::Busy);
        assert!(budget.check(&Traffic::default(), 1, None, now).is_ok());
        assert!(!traffic.is_limited(), "not counted in Postgres");
    }

    #[test]
    fn a_booked_call_is_allowed_at_its_time_only() {
        let (traffic, now) = (limited(1, 0), at("2026-11-24T12:00:00Z"));
        let mut budget = RateBudget::new(now);
        budget.take(&traffic, 1, None, now);
        let slot = budget.book(&traffic, now).unwrap();
        assert_eq!(slot, now + WINDOW);
        let check = |at| budget.check(&traffic, 1, Some(slot), at);
        assert!(check(slot - TimeDelta::seconds(1)).is_err());
        assert!(check(slot).is_ok() && check(slot + MAX_DELAY).is_ok());
        assert!(check(slot + MAX_DELAY + TimeDelta::seconds(1)).is_err());
        assert!(budget.check(&traffic, 2, Some(slot), slot).is_err());
    }

    #[test]
    fn one_call_at_a_time_tests_a_gateway_that_was_down() {
        let now = at("2026-11-24T12:00:00Z");
        let mut budget = RateBudget::new(now);
        budget.circuit = budget.circuit.after(0, 10, now - TimeDelta::seconds(30));
        let traffic = Traffic::default();
        assert!(budget.check(&traffic, 1, None, now).is_ok());
        budget.take(&traffic, 1, None, now);
        assert_eq!(
            budget.check(&traffic, 1, None, now).unwrap_err().why,
            PostponeReason::Down
        );
    }

    proptest! {
        /// Calls made at once, booked, and made late: no 60 seconds hold more than the limit.
        #[test]
        fn no_minute_holds_more_calls_than_the_limit(
            limit in 1u32..150,
            asked in proptest::collection::vec((0i64..3_000, 0i64..2_000), 1..600),
        ) {
            let traffic = limited(limit, 0);
            let mut now = at("2026-11-24T12:00:00Z");
            let mut budget = RateBudget::new(now);
            let mut made = Vec::new();
            for (pause, late) in asked {
                now += TimeDelta::milliseconds(pause);
                let late = TimeDelta::milliseconds(late);
                match budget.check(&traffic, 1, None, now) {
                    Ok(()) => {
                        budget.take(&traffic, 1, None, now);
                        made.push(now + late);
                    }
                    Err(_) => made.extend(budget.book(&traffic, now).map(|slot| slot + late)),
                }
            }
            made.sort_unstable();
            for (index, first) in made.iter().enumerate() {
                let within = made[index..].iter().take_while(|call| **call < *first + TimeDelta::seconds(60)).count();
                prop_assert!(within <= limit as usize, "{within} of {limit}");
            }
        }
    }

    #[test]
    fn malformed_spans_are_rejected() {
        for span in ["", "10:00", "10-12", "10:00-25:00", "10:00-10:00", "a-b"] {
            assert_eq!(Hours::parse(&[span]), None, "{span}");
        }
        assert!(Hours::parse(&["10:00-24:00"]).is_some());
    }
}
