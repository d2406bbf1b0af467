//! What keeps a gateway account from being asked, in words for people. Pure.

use std::fmt;

use chrono::{DateTime, Utc};
use khata_store::gateway_health::GatewayState;
use serde_json::{Value, json};

use super::super::table::time;

/// Why a gateway account is not simply asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HealthIssue {
    /// It refuses us: credentials, balance, list of IP addresses, a feature that is off.
    Misconfigured {
        /// Its own word.
        code: String,
        since: DateTime<Utc>,
    },
    /// Most calls of late failed: nobody calls it until then.
    Down { until: DateTime<Utc> },
    /// It was down, and one call at a time is let through to see.
    Probed,
    /// It asked us to stay away until then.
    Paused { until: DateTime<Utc> },
}

impl HealthIssue {
    /// What is to be told of a gateway account, the gravest first; nothing of one in good health, or never asked.
    pub(crate) fn of(state: Option<&GatewayState>, now: DateTime<Utc>) -> Vec<Self> {
        let Some(state) = state else {
            return Vec::new();
        };
        let misconfigured = state.misconfigured.clone();
        let refused = misconfigured.map(|(code, since)| Self::Misconfigured { code, since });
        let down = state.circuit.open_until.map(|until| {
            if until > now {
                Self::Down { until }
            } else {
                Self::Probed
            }
        });
        let paused = state.paused_until.filter(|until| *until > now);
        let paused = paused.map(|until| Self::Paused { until });
        [refused, down, paused].into_iter().flatten().collect()
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Misconfigured { code, since } => {
                json!({ "kind": "MISCONFIGURED", "code": code, "since": time(*since) })
            }
            Self::Down { until } => json!({ "kind": "DOWN", "until": time(*until) }),
            Self::Probed => json!({ "kind": "PROBED" }),
            Self::Paused { until } => json!({ "kind": "PAUSED", "until": time(*until) }),
        }
    }
}

impl fmt::Display for HealthIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Soon, so that the day goes without saying.
        let clock = |at: &DateTime<Utc>| at.format("%H:%M:%S UTC").to_string();
        match self {
            Self::Misconfigured { code, since } => {
                write!(f, "MISCONFIGURED {code} since {}", time(*since))
            }
            Self::Down { until } => write!(f, "down until {}", clock(until)),
            Self::Probed => f.write_str("down; one call at a time is let through to see"),
            Self::Paused { until } => write!(f, "paused until {}", clock(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use khata_domain::circuit::Circuit;
    use khata_domain::{GatewayAccountId, MerchantId};
    use khata_store::gateway_health::GatewayKey;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T10:02:01Z".parse().unwrap()
    }

    fn well() -> GatewayState {
        GatewayState {
            key: GatewayKey {
                merchant: MerchantId::new(),
                account: GatewayAccountId::new(),
            },
            circuit: Circuit::new(now()),
            paused_until: None,
            next_call_at: None,
            misconfigured: None,
            open_calls: 0,
        }
    }

    fn told(state: &GatewayState) -> Vec<String> {
        let troubles = HealthIssue::of(Some(state), now());
        troubles.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_over_is_not_told() {
        assert!(HealthIssue::of(None, now()).is_empty());
        let over = GatewayState {
            paused_until: Some(now()),
            ..well()
        };
        assert!(told(&over).is_empty());
    }

    #[test]
    fn each_trouble_is_told_the_gravest_first() {
        let in_ten = now() + TimeDelta::seconds(10);
        let down = Circuit {
            open_until: Some(in_ten),
            ..well().circuit
        };
        let state = GatewayState {
            circuit: down,
            paused_until: Some(in_ten + TimeDelta::hours(1)),
            misconfigured: Some(("insufficient_balance".into(), now())),
            ..well()
        };
        assert_eq!(
            told(&state),
            [
                "MISCONFIGURED insufficient_balance since 2026-11-24T10:02:01Z",
                "down until 10:02:11 UTC",
                "paused until 11:02:11 UTC",
            ]
        );
        let kinds: Vec<_> = HealthIssue::of(Some(&state), now())
            .iter()
            .map(|trouble| trouble.json()["kind"].clone())
            .collect();
        assert_eq!(kinds, ["MISCONFIGURED", "DOWN", "PAUSED"]);
        let probed = GatewayState {
            circuit: Circuit {
                open_until: Some(now()),
                ..down
            },
            ..well()
        };
        assert_eq!(
            told(&probed),
            ["down; one call at a time is let through to see"]
        );
    }
}
