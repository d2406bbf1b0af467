//! When the outcome of a verification shows.

use std::time::Duration;

/// At once, late, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// As soon as the gateway's behaviour lets it.
    AtOnce,
    /// Pending first, for as long as the sandbox is set to, or longer if the behaviour says so.
    Later,
    /// Pending for ever.
    Never,
}

impl Shows {
    /// How long after the call: `pending` is the behaviour's time, `published` the sandbox's.
    pub(crate) fn after(self, pending: Duration, published: Duration) -> Option<Duration> {
        match self {
            Self::AtOnce => Some(pending),
            Self::Later => Some(pending.max(published)),
            Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_later_waits_for_the_longer_of_both() {
        let [short, long] = [1, 2].map(Duration::from_secs);
        assert_eq!(Shows::AtOnce.after(short, long), Some(short));
        assert_eq!(Shows::Later.after(short, long), Some(long));
        assert_eq!(Shows::Later.after(long, short), Some(long));
        assert_eq!(Shows::Never.after(short, long), None);
    }
}
