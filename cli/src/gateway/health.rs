//! Reasons why a gateway account gets no calls, or only some.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::{GatewayAccountId, MerchantId};
use khata_store::gateway_health::{self, GatewayState, Misconfigured};
use serde_json::{Value, json};

use crate::output::{clock, time};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HealthIssue {
    /// The gateway rejects us: credentials, balance, IP allow-list, or a feature that is off.
    Misconfigured {
        /// The gateway's own code.
        code: String,
        since: DateTime<Utc>,
    },
    /// Most recent calls failed; workers make no call until then.
    CircuitOpen { until: DateTime<Utc> },
    /// The circuit was open; workers make one trial call at a time.
    CircuitHalfOpen,
    /// The gateway asked for a pause until then.
    Paused { until: DateTime<Utc> },
}

impl HealthIssue {
    /// Returns the issues of a merchant's gateway accounts. An unused account is missing.
    pub(crate) fn of_merchant(
        connection: &mut PgConnection,
        merchant: MerchantId,
        now: DateTime<Utc>,
    ) -> QueryResult<HashMap<GatewayAccountId, Vec<Self>>> {
        let states = gateway_health::of_merchant(connection, merchant)?;
        let issues = |state: &GatewayState| (state.key.account, Self::all(state, now));
        Ok(states.iter().map(issues).collect())
    }

    /// Returns a gateway account's issues, the gravest first. A healthy account has none.
    fn all(state: &GatewayState, now: DateTime<Utc>) -> Vec<Self> {
        let misconfigured = state.misconfigured.clone();
        let misconfigured =
            misconfigured.map(|Misconfigured { code, since }| Self::Misconfigured { code, since });
        let circuit = state.circuit.open_until.map(|until| {
            if until > now {
                Self::CircuitOpen { until }
            } else {
                Self::CircuitHalfOpen
            }
        });
        let paused = state.paused_until.filter(|until| *until > now);
        let paused = paused.map(|until| Self::Paused { until });
        [misconfigured, circuit, paused]
            .into_iter()
            .flatten()
            .collect()
    }

    pub(crate) fn is_misconfigured(&self) -> bool {
        matches!(self, Self::Misconfigured { .. })
    }

    /// Whether workers make no new call because of the issue.
    pub(crate) fn blocks(&self) -> bool {
        !matches!(self, Self::CircuitHalfOpen)
    }

    pub(crate) fn is_circuit(&self) -> bool {
        matches!(self, Self::CircuitOpen { .. } | Self::CircuitHalfOpen)
    }

    /// Returns the issue for scripts. The words in `kind` are stable.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Misconfigured { code, since } => {
                json!({ "kind": "MISCONFIGURED", "code": code, "since": time(*since) })
            }
            Self::CircuitOpen { until } => json!({ "kind": "DOWN", "until": time(*until) }),
            Self::CircuitHalfOpen => json!({ "kind": "PROBED" }),
            Self::Paused { until } => json!({ "kind": "PAUSED", "until": time(*until) }),
        }
    }
}

impl fmt::Display for HealthIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misconfigured { code, since } => {
                write!(f, "MISCONFIGURED {code} since {}", time(*since))
            }
            Self::CircuitOpen { until } => write!(f, "circuit open until {}", clock(*until)),
            Self::CircuitHalfOpen => f.write_str("circuit half-open, one trial call at a time"),
            Self::Paused { until } => write!(f, "paused until {}", clock(*until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use khata_domain::circuit::Circuit;
    use khata_store::gateway_health::GatewayKey;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T10:02:01Z".parse().unwrap()
    }

    fn healthy() -> GatewayState {
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

    fn texts(state: &GatewayState) -> Vec<String> {
        let issues = HealthIssue::all(state, now());
        issues.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_ended_pause_is_no_issue() {
        let ended = GatewayState {
            paused_until: Some(now()),
            ..healthy()
        };
        assert!(texts(&ended).is_empty());
    }

    #[test]
    fn issues_are_listed_gravest_first() {
        let in_ten = now() + TimeDelta::seconds(10);
        let open = Circuit {
            open_until: Some(in_ten),
            ..healthy().circuit
        };
        let state = GatewayState {
            circuit: open,
            paused_until: Some(in_ten + TimeDelta::hours(1)),
            misconfigured: Some(Misconfigured {
                code: "insufficient_balance".into(),
                since: now(),
            }),
            ..healthy()
        };
        assert_eq!(
            texts(&state),
            [
                "MISCONFIGURED insufficient_balance since 2026-11-24T10:02:01Z",
                "circuit open until 10:02:11 UTC",
                "paused until 11:02:11 UTC",
            ]
        );
        let kinds: Vec<_> = HealthIssue::all(&state, now())
            .iter()
            .map(|issue| issue.json()["kind"].clone())
            .collect();
        assert_eq!(kinds, ["MISCONFIGURED", "DOWN", "PAUSED"]);
        let half_open = GatewayState {
            circuit: Circuit {
                open_until: Some(now()),
                ..open
            },
            ..healthy()
        };
        assert_eq!(
            texts(&half_open),
            ["circuit half-open, one trial call at a time"]
        );
    }
}
