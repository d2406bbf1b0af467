//! When a delivery is tried again.

use std::time::Duration;

use crate::reply::EndpointReply;

/// The time of the last attempt, after the first attempt began.
pub const LAST_ATTEMPT: Duration = Duration::from_hours(75);
/// Maximum time of a `Retry-After`. The jitter comes on top.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(12);

/// Delays after the first, second, … attempt, and after every further one.
const DELAYS: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];
const FURTHER_DELAY: Duration = Duration::from_hours(12);
/// Largest part of a delay that the jitter adds or takes off.
const JITTER: f64 = 0.1;
/// An attempt that would come less than this time before the last one is the last one.
const LAST_GAP: Duration = Duration::from_hours(1);

/// The next step of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    Delivered,
    /// The next attempt begins after this time.
    RetryIn(Duration),
    /// The last attempt failed.
    GiveUp,
    /// The endpoint wants no more webhooks (status 410): disable it.
    Gone,
}

/// Decides what happens after attempt number `attempt` (the first is 1), which ended `since_first` after the first attempt
/// began. `reply` is `None` if the endpoint sent none. `jitter` is a random number from 0 to 1, so that deliveries which failed
/// together are not tried again together: a delay is up to 10 % shorter or longer than the schedule's.
///
/// An endpoint can only ask for a longer delay (`Retry-After`, at most 12 h), so that no reply makes Khata call more often. The
/// delay is then up to 10 % longer, and never shorter, than the endpoint asked.
/// The last attempt comes 75 h after the first one, with any delays before it.
pub fn after_attempt(
    attempt: u32,
    since_first: Duration,
    reply: Option<&EndpointReply>,
    jitter: f64,
) -> AfterAttempt {
    match reply {
        Some(reply) if reply.is_success() => return AfterAttempt::Delivered,
        Some(reply) if reply.status == 410 => return AfterAttempt::Gone,
        _ => {}
    }
    let remaining = LAST_ATTEMPT.saturating_sub(since_first);
    if remaining.is_zero() {
        return AfterAttempt::GiveUp;
    }
    let jitter = if jitter.is_nan() {
        0.5
    } else {
        jitter.clamp(0.0, 1.0)
    };
    let place = attempt.saturating_sub(1) as usize;
    let delay = DELAYS.get(place).unwrap_or(&FURTHER_DELAY);
    let delay = delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter);
    let asked = reply
        .and_then(|reply| reply.retry_after)
        .unwrap_or_default();
    let asked = asked.min(MAX_RETRY_AFTER).mul_f64(1.0 + JITTER * jitter);
    let delay = delay.max(asked);
    if delay + LAST_GAP > remaining {
        AfterAttempt::RetryIn(remaining)
    } else {
        AfterAttempt::RetryIn(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: f64) -> Duration {
        Duration::from_secs_f64(hours * 3600.0)
    }

    fn reply(status: u16, retry_after: Option<u64>) -> EndpointReply {
        EndpointReply {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            excerpt: String::new(),
        }
    }

    /// Returns the times of the attempts after the first one that fail at once.
    fn attempts(jitter: f64, reply: Option<&EndpointReply>) -> Vec<Duration> {
        let (mut times, mut time) = (Vec::new(), Duration::ZERO);
        while let AfterAttempt::RetryIn(delay) =
            after_attempt(u32::try_from(times.len()).unwrap() + 1, time, reply, jitter)
        {
            time += delay;
            times.push(time);
        }
        times
    }

    #[test]
    fn the_schedule_reaches_75_hours() {
        let seconds: Vec<u64> = attempts(0.5, None).iter().map(Duration::as_secs).collect();
        let (minute, hour) = (60, 3600);
        let (delays, mut time) = (
            [
                5,
                minute,
                5 * minute,
                30 * minute,
                2 * hour,
                5 * hour,
                10 * hour,
                10 * hour,
                12 * hour,
                12 * hour,
                12 * hour,
            ],
            0,
        );
        let mut expected: Vec<u64> = Vec::new();
        for delay in delays {
            time += delay;
            expected.push(time);
        }
        expected.push(75 * hour);
        assert_eq!(seconds, expected);
    }

    #[test]
    fn jitter_changes_a_delay_by_a_tenth_and_the_end_not_at_all() {
        for (jitter, first) in [(0.0, 4_500), (0.5, 5_000), (1.0, 5_500)] {
            let times = attempts(jitter, None);
            assert_eq!(times[0].as_millis(), first);
            assert_eq!(times.last(), Some(&LAST_ATTEMPT));
            assert!((12..=13).contains(&times.len()), "{times:?}");
            let before_last = times[times.len() - 2];
            assert!(before_last + LAST_GAP <= LAST_ATTEMPT, "{times:?}");
        }
        assert_eq!(
            after_attempt(1, Duration::ZERO, None, f64::NAN),
            AfterAttempt::RetryIn(Duration::from_secs(5))
        );
        // A number out of range changes the delay by a tenth, too.
        assert_eq!(
            after_attempt(1, Duration::ZERO, None, 7.0),
            AfterAttempt::RetryIn(Duration::from_millis(5_500))
        );
    }

    #[test]
    fn the_reply_decides() {
        use AfterAttempt::{Delivered, GiveUp, Gone, RetryIn};
        let seconds = Duration::from_secs;
        for (attempt, since_first, reply, expected) in [
            (1, hours(0.0), Some(reply(200, None)), Delivered),
            (9, hours(74.0), Some(reply(299, Some(60))), Delivered),
            // Also the last attempt, and one that comes later because no worker ran.
            (13, hours(75.0), Some(reply(204, None)), Delivered),
            (2, hours(90.0), Some(reply(200, None)), Delivered),
            (1, hours(0.0), Some(reply(410, None)), Gone),
            (13, hours(75.0), Some(reply(410, None)), Gone),
            (1, hours(0.0), Some(reply(410, Some(60))), Gone),
            (1, hours(0.0), None, RetryIn(seconds(5))),
            (1, hours(0.0), Some(reply(302, None)), RetryIn(seconds(5))),
            (2, hours(0.1), Some(reply(404, None)), RetryIn(seconds(60))),
            (3, hours(0.1), Some(reply(500, None)), RetryIn(seconds(300))),
            (
                4,
                hours(0.2),
                Some(reply(199, None)),
                RetryIn(seconds(1_800)),
            ),
            (8, hours(17.6), None, RetryIn(hours(10.0))),
            (9, hours(27.6), None, RetryIn(hours(12.0))),
            (400, hours(27.6), None, RetryIn(hours(12.0))),
            (0, hours(0.0), None, RetryIn(seconds(5))),
            // The last attempt comes at 75 h.
            (12, hours(62.0), None, RetryIn(hours(12.0))),
            (12, hours(62.5), None, RetryIn(hours(12.5))),
            (12, hours(63.5), None, RetryIn(hours(11.5))),
            (
                13,
                hours(74.9),
                None,
                RetryIn(LAST_ATTEMPT.saturating_sub(hours(74.9))),
            ),
            (13, hours(75.0), None, GiveUp),
            (13, hours(75.0), Some(reply(503, Some(60))), GiveUp),
            (2, hours(400.0), None, GiveUp),
        ] {
            let decided = after_attempt(attempt, since_first, reply.as_ref(), 0.5);
            assert_eq!(
                decided, expected,
                "attempt {attempt} after {since_first:?}: {reply:?}"
            );
        }
    }

    #[test]
    fn retry_after_only_lengthens_a_delay() {
        let (minute, hour) = (60, 3600);
        for (attempt, since_first, status, retry_after, expected) in [
            (1, hours(0.0), 429, 120, 126),
            (1, hours(0.0), 503, 120, 126),
            // Any failure may have the header.
            (1, hours(0.0), 302, 120, 126),
            (1, hours(0.0), 500, 120, 126),
            // Less than the schedule's delay.
            (1, hours(0.0), 429, 0, 5),
            (3, hours(0.1), 429, 1, 5 * minute),
            (6, hours(2.6), 429, hour, 5 * hour),
            // At most 12 h, and half of the jitter.
            (1, hours(0.0), 429, 13 * hour, 12 * hour * 21 / 20),
            (1, hours(0.0), 429, u64::MAX, 12 * hour * 21 / 20),
            // At most to the last attempt.
            (8, hours(70.0), 429, 11 * hour, 5 * hour),
        ] {
            let reply = reply(status, Some(retry_after));
            assert_eq!(
                after_attempt(attempt, since_first, Some(&reply), 0.5),
                AfterAttempt::RetryIn(Duration::from_secs(expected)),
                "{status} with {retry_after} s after {since_first:?}"
            );
        }
        let asked = reply(503, Some(120));
        for (jitter, expected) in [(0.0, 120), (0.5, 126), (1.0, 132)] {
            assert_eq!(
                after_attempt(1, Duration::ZERO, Some(&asked), jitter),
                AfterAttempt::RetryIn(Duration::from_secs(expected))
            );
        }
        // An endpoint that always asks for the longest delay gets its last attempt at 75 h, too.
        let times = attempts(0.5, Some(&reply(503, Some(u64::MAX))));
        assert_eq!(times.last(), Some(&LAST_ATTEMPT));
    }
}
