//! Progress of a long command: a bar on a terminal, else a line every few seconds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "[{bar:30}] {percent} %, {pos} of {len}, {msg}, {per_sec}, {eta} left";
/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    bar: ProgressBar,
    last_line: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template(TEMPLATE)?.progress_chars("==  ");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        Ok(Self {
            bar: bar.with_style(style),
            last_line: Instant::now(),
            is_terminal: io::stderr().is_terminal(),
        })
    }

    /// Shows how much is done, and the kind of data that the command processes now.
    pub(super) fn update(&mut self, done: u64, kind: &str) {
        if self.is_terminal {
            self.bar.set_message(kind.to_owned());
            self.bar.set_position(done);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let total = self.bar.length().unwrap_or_default();
            // A closed standard error does not stop the work.
            let _ = writeln!(io::stderr(), "khata: {}", line(done, total, kind));
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(done: u64, total: u64, kind: &str) -> String {
    let percent = (done.min(total) * 100).checked_div(total).unwrap_or(100);
    format!("{percent} %, {done} of {total}, {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_percent_and_counts() {
        assert_eq!(
            line(500, 2_000, "customers"),
            "25 %, 500 of 2000, customers"
        );
        assert_eq!(line(0, 0, "customers"), "100 %, 0 of 0, customers");
    }

    #[test]
    fn the_template_is_valid() {
        assert!(Progress::new(1).is_ok());
    }
}
