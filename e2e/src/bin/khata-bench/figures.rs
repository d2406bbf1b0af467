//! Figures with their bounds.

use std::fmt;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure beside its bound, and marked if it misses it. A miss is no error: the machine decides much.
pub(crate) struct Bounded {
    pub(crate) value: f64,
    pub(crate) bound: Bound,
}

impl fmt::Display for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        let (word, limit, is_kept) = match self.bound {
            Bound::AtLeast(limit) => ("least", limit, value >= limit),
            Bound::AtMost(limit) => ("most", limit, value <= limit),
        };
        let mark = if is_kept { "" } else { ", MISSED" };
        if limit < 10.0 {
            write!(f, "{value:.2}  (target at {word} {limit:.2}{mark})")
        } else {
            write!(f, "{value:.1}  (target at {word} {limit:.0}{mark})")
        }
    }
}
