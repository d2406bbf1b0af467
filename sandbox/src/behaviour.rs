//! How each gateway behaves at the moment: slow, failing, silent, or late with its outcomes.
//! Set through `PUT /_sandbox/behaviour`; what a call meets is decided here, purely, from one draw.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gateway::Gateway;

/// The longest latency or pending time that can be set: one day, in milliseconds.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// One gateway's behaviour. The default is a gateway in perfect health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Behaviour {
    /// How long every answer is held back, in milliseconds.
    pub latency_ms: u64,
    /// The fraction of calls, 0 to 1, that answer 500: half of them before anything was done, half after.
    pub error_rate: f64,
    /// The fraction of calls, 0 to 1, that do their work and never answer.
    pub hang_rate: f64,
    /// How long every asynchronous bank verification stays pending, in milliseconds.
    pub pending_ms: u64,
}

/// What one call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call is served.
    None,
    /// 500, and nothing was done.
    ErrorBefore,
    /// 500, although the work was done: the case a client must survive without paying twice.
    ErrorAfter,
    /// The work is done, the answer never comes.
    Hang,
}

impl Behaviour {
    /// What the call with this draw, uniform in 0..1, meets. The hanging calls are the lowest draws, the
    /// failing ones those above them.
    pub fn fault(&self, draw: f64) -> Fault {
        let failing = draw - self.hang_rate;
        if failing < 0.0 {
            Fault::Hang
        } else if failing < self.error_rate / 2.0 {
            Fault::ErrorBefore
        } else if failing < self.error_rate {
            Fault::ErrorAfter
        } else {
            Fault::None
        }
    }

    /// Whether any call can meet a fault.
    pub fn is_faulty(&self) -> bool {
        self.error_rate > 0.0 || self.hang_rate > 0.0
    }

    /// How long an answer is held back.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    /// How long an asynchronous verification stays pending.
    pub fn pending(&self) -> Duration {
        Duration::from_millis(self.pending_ms)
    }
}

/// The body of `PUT /_sandbox/behaviour`. What is left out is 0; a misspelt member is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehaviourRequest {
    gateway: String,
    #[serde(default)]
    latency_ms: u64,
    #[serde(default)]
    error_rate: f64,
    #[serde(default)]
    hang_rate: f64,
    #[serde(default)]
    pending_ms: u64,
}

impl BehaviourRequest {
    /// The gateway meant and its new behaviour, or a sentence that says what is wrong.
    pub fn parse(self) -> Result<(Gateway, Behaviour), String> {
        let gateway = Gateway::named(&self.gateway).ok_or_else(|| {
            let known: Vec<&str> = Gateway::ALL.into_iter().map(Gateway::name).collect();
            format!(
                "gateway {:?} is unknown; there is {}",
                self.gateway,
                known.join(", ")
            )
        })?;
        for (name, rate) in [
            ("error_rate", self.error_rate),
            ("hang_rate", self.hang_rate),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("{name} must be from 0 to 1, not {rate}"));
            }
        }
        if self.error_rate + self.hang_rate > 1.0 {
            return Err("error_rate and hang_rate together must not exceed 1".to_owned());
        }
        for (name, ms) in [
            ("latency_ms", self.latency_ms),
            ("pending_ms", self.pending_ms),
        ] {
            if ms > LONGEST_MS {
                return Err(format!(
                    "{name} must be at most {LONGEST_MS} (a day), not {ms}"
                ));
            }
        }
        Ok((
            gateway,
            Behaviour {
                latency_ms: self.latency_ms,
                error_rate: self.error_rate,
                hang_rate: self.hang_rate,
                pending_ms: self.pending_ms,
            },
        ))
    }
}

/// One gateway's behaviour with its name, as `GET /_sandbox/behaviour` lists it.
#[derive(Debug, Serialize)]
pub struct NamedBehaviour {
    /// Whose behaviour.
    pub gateway: Gateway,
    /// The behaviour itself, its members beside the name.
    #[serde(flatten)]
    pub behaviour: Behaviour,
}

/// Every gateway's behaviour.
#[derive(Debug, Default)]
pub struct Behaviours {
    by_gateway: [Mutex<Behaviour>; Gateway::COUNT],
}

impl Behaviours {
    /// How this gateway behaves now.
    pub fn of(&self, gateway: Gateway) -> Behaviour {
        *self.lock(gateway)
    }

    /// From now on it behaves like this.
    pub fn set(&self, gateway: Gateway, behaviour: Behaviour) {
        *self.lock(gateway) = behaviour;
    }

    /// All of them, named.
    pub fn list(&self) -> Vec<NamedBehaviour> {
        Gateway::ALL
            .into_iter()
            .map(|gateway| NamedBehaviour {
                gateway,
                behaviour: self.of(gateway),
            })
            .collect()
    }

    fn lock(&self, gateway: Gateway) -> std::sync::MutexGuard<'_, Behaviour> {
        self.by_gateway[gateway.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<(Gateway, Behaviour), String> {
        serde_json::from_str::<BehaviourRequest>(json)
            .map_err(|error| error.to_string())?
            .parse()
    }

    #[test]
    fn what_is_left_out_is_zero() {
        let (gateway, behaviour) = parse(r#"{"gateway":"CASHFREE"}"#).unwrap();
        assert_eq!(gateway, Gateway::Cashfree);
        assert_eq!(behaviour, Behaviour::default());
        assert!(!behaviour.is_faulty());
        let (_, slow) = parse(r#"{"gateway":"CASHFREE","latency_ms":7,"hang_rate":1}"#).unwrap();
        assert_eq!(slow.latency(), Duration::from_millis(7));
        assert!(slow.is_faulty());
    }

    #[test]
    fn bad_values_are_named() {
        for (json, word) in [
            (r#"{"gateway":"PAYPAL"}"#, "PAYPAL"),
            (r#"{"gateway":"CASHFREE","error_rate":1.1}"#, "error_rate"),
            (r#"{"gateway":"CASHFREE","hang_rate":-0.1}"#, "hang_rate"),
            (
                r#"{"gateway":"CASHFREE","error_rate":0.6,"hang_rate":0.6}"#,
                "together",
            ),
            (
                r#"{"gateway":"CASHFREE","latency_ms":86400001}"#,
                "latency_ms",
            ),
            (r#"{"gateway":"CASHFREE","pending_ms":-1}"#, "-1"),
            (r#"{"gateway":"CASHFREE","latency":5}"#, "latency"),
            (r#"{"latency_ms":5}"#, "gateway"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn draws_fall_where_the_rates_say() {
        let behaviour = Behaviour {
            hang_rate: 0.2,
            error_rate: 0.4,
            ..Behaviour::default()
        };
        for (draw, fault) in [
            (0.0, Fault::Hang),
            (0.19, Fault::Hang),
            (0.21, Fault::ErrorBefore),
            (0.39, Fault::ErrorBefore),
            (0.41, Fault::ErrorAfter),
            (0.59, Fault::ErrorAfter),
            (0.61, Fault::None),
            (0.999, Fault::None),
        ] {
            assert_eq!(behaviour.fault(draw), fault, "{draw}");
        }
        assert_eq!(Behaviour::default().fault(0.0), Fault::None);
        let always = Behaviour {
            error_rate: 1.0,
            ..Behaviour::default()
        };
        assert_eq!(always.fault(0.999_999), Fault::ErrorAfter);
    }
}
