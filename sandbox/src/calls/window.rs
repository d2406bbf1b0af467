//! How many fell within the last 60 seconds, exact to the millisecond, in memory that does not grow:
//! one count a millisecond in a ring. Moving on costs a step for every millisecond that went by.

/// Places in the ring.
const PLACES: usize = 60_000;

/// Milliseconds a call counts: one a place.
const SPAN: u64 = PLACES as u64;

/// The last 60 seconds: a call at `t` counts until just before `t` + 60 s. Times are milliseconds since
/// any fixed moment and never go back.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Empty until the first call. All places but those from `oldest` to the newest call hold 0.
    ring: Vec<u32>,
    /// When the oldest call fell that still counts, if any does.
    oldest: u64,
    count: u64,
}

impl Window {
    /// Enters a call.
    pub(super) fn add(&mut self, now: u64) {
        if self.ring.is_empty() {
            self.ring = vec![0; PLACES];
        }
        self.move_to(now);
        if self.count == 0 {
            self.oldest = now;
        }
        self.ring[place(now)] += 1;
        self.count += 1;
    }

    /// Lets go of the calls that no longer count.
    pub(super) fn move_to(&mut self, now: u64) {
        while self.count > 0 {
            let here = &mut self.ring[place(self.oldest)];
            if *here > 0 {
                if self.oldest + SPAN > now {
                    return;
                }
                self.count -= u64::from(*here);
                *here = 0;
            }
            self.oldest += 1;
        }
    }

    /// Calls that counted when it was last moved.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many milliseconds from `now` until the oldest call no longer counts; 0 if none does.
    pub(super) fn until_one_leaves(&self, now: u64) -> u64 {
        if self.count == 0 {
            0
        } else {
            (self.oldest + SPAN).saturating_sub(now)
        }
    }
}

fn place(at: u64) -> usize {
    // Smaller than the ring: it fits.
    usize::try_from(at % SPAN).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_what_a_list_of_all_times_counts() {
        let mut window = Window::default();
        let mut times: Vec<u64> = Vec::new();
        let mut now = 0;
        for step in 0..5_000_u64 {
            // Bursts, steady spells and gaps of up to two and a half minutes.
            now += match step % 97 {
                0 => 150_000 - (step % 7) * 20_000,
                1..=40 => 0,
                _ => (step * 7919) % 2_500,
            };
            window.add(now);
            times.push(now);
            let expected = times.iter().filter(|at| **at + SPAN > now).count();
            assert_eq!(window.count(), expected as u64, "at {now}");
            let oldest = times.iter().find(|at| **at + SPAN > now);
            assert_eq!(
                Some(window.until_one_leaves(now)),
                oldest.map(|at| at + SPAN - now)
            );
        }
    }

    #[test]
    fn it_empties_with_time_alone() {
        let mut window = Window::default();
        window.move_to(5);
        assert_eq!((window.count(), window.until_one_leaves(5)), (0, 0));
        window.add(10);
        window.add(10);
        window.move_to(60_009);
        assert_eq!((window.count(), window.until_one_leaves(60_009)), (2, 1));
        window.move_to(60_010);
        assert_eq!((window.count(), window.until_one_leaves(60_010)), (0, 0));
    }
}
