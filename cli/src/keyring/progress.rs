//! How far a long piece of work is: a bar for a person at a terminal, else a line every few seconds.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
/// Between two pictures of the bar.
const BAR: Duration = Duration::from_millis(100);
/// Between two lines.
const LINE: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    total: u64,
    began: Instant,
    told: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Of so many in all.
    pub(super) fn of(total: u64) -> Self {
        Self {
            total,
            began: Instant::now(),
            told: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Tells, unless it has just been told.
    pub(super) fn tell(&mut self, done: u64, what: &str) {
        let every = if self.is_terminal { BAR } else { LINE };
        let since = self.told.unwrap_or(self.began);
        if since.elapsed() >= every {
            self.told = Some(Instant::now());
            let line = line(done, self.total, self.began.elapsed(), what);
            // Who reads it may be gone; the work is not.
            let _ = if self.is_terminal {
                write!(io::stderr(), "\r\x1b[K{} {line}", bar(done, self.total))
            } else {
                writeln!(io::stderr(), "khata-api: {line}")
            };
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if self.is_terminal && self.told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let full = done.min(total) * WIDTH / total.max(1);
    let mut bar = String::from("[");
    for place in 0..WIDTH {
        bar.push(if place < full { '=' } else { ' ' });
    }
    bar.push(']');
    bar
}

fn line(done: u64, total: u64, took: Duration, what: &str) -> String {
    let percent = (done.min(total) * 100).checked_div(total).unwrap_or(100);
    let mut line = format!("{percent} %, {done} of {total}, {what}");
    let per_second = u128::from(done) * 1_000 / took.as_millis().max(1);
    if let Some(left) = u128::from(total.saturating_sub(done)).checked_div(per_second) {
        let _ = write!(line, ", {per_second}/s, {} min left", left.div_ceil(60));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_far_it_is() {
        assert_eq!(bar(0, 10), format!("[{}]", " ".repeat(30)));
        assert_eq!(
            bar(5, 10),
            format!("[{}{}]", "=".repeat(15), " ".repeat(15))
        );
        assert_eq!(bar(11, 10), format!("[{}]", "=".repeat(30)));
        assert_eq!(
            line(500, 2_000, Duration::from_secs(10), "customers"),
            "25 %, 500 of 2000, customers, 50/s, 1 min left"
        );
        assert_eq!(
            line(0, 0, Duration::ZERO, "customers"),
            "100 %, 0 of 0, customers"
        );
    }
}
