//! How each gateway behaves at the moment: slow, failing, silent, or late with its outcomes.
//! Set through `PUT /_sandbox/behaviour`; what a call meets is decided here, purely, from one draw.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gateway::Gateway;
use crate::switch;

/// One gateway's behaviour. The default is a gateway in perfect health.
///
/// A rate is a fraction of calls, 0 to 1. The rates exclude each other, so together they are at most 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How long every answer is held back, in milliseconds.
    pub latency_ms: u64,
    /// How long it takes from one handful of an answer's bytes to the next, in milliseconds; 0 sends
    /// them together.
    pub slow_bytes_ms: u64,
    /// How long every asynchronous verification stays pending, in milliseconds.
    pub pending_ms: u64,
    /// The calls that answer 500.
    pub error_rate: f64,
    /// When those fail: before the work, after it, or (unless set) half of them each.
    pub errors: Errors,
    /// The calls that do their work and never answer.
    pub hang_rate: f64,
    /// The calls that do their work, and then the connection is reset.
    pub reset_rate: f64,
    /// The calls that do their work and answer, 200 if it went well, with a body that is cut short.
    pub malformed_rate: f64,
    /// The calls that answer 429, and nothing was done.
    pub reject_rate: f64,
    /// The calls let in within any 60 seconds, counted since it was set; beyond it 429. 0: no limit.
    pub calls_per_minute: u32,
    /// The `Retry-After` of a 429, in seconds. 0: 1 s, or what is left until a call is let in again.
    pub retry_after_s: u32,
    /// What costs money is refused, the gateway's own way: the balance is too small.
    pub insufficient_balance: bool,
    /// Every call is refused, the gateway's own way: the caller's address is not on its list. Cashfree
    /// lets in who sends an `x-cf-signature`.
    pub refuse_ip: bool,
    /// Outcomes are told with [`UNKNOWN_CODE`], where the gateway tells its code.
    pub unknown_code: bool,
}

/// A code that is in no gateway's table.
pub const UNKNOWN_CODE: &str = "A_CODE_OF_NEXT_YEAR";

/// When a call fails that is to fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// Half of them before the work, half after it.
    #[default]
    Either,
    /// Nothing was done.
    BeforeWork,
    /// The work was done: the case a client must survive without paying twice.
    AfterWork,
}

/// What one call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call is served.
    None,
    /// 500, and nothing was done.
    ErrorBefore,
    /// 500, although the work was done.
    ErrorAfter,
    /// The work is done, the answer never comes.
    Hang,
    /// The work is done, the connection is reset.
    Reset,
    /// The work is done, the answer cannot be read.
    Malformed,
    /// 429, and nothing was done.
    Reject,
}

impl Behaviour {
    /// What is wrong with it, in a sentence.
    fn check(&self) -> Result<(), String> {
        let rates = [
            ("error_rate", self.error_rate),
            ("hang_rate", self.hang_rate),
            ("reset_rate", self.reset_rate),
            ("malformed_rate", self.malformed_rate),
            ("reject_rate", self.reject_rate),
        ];
        for (name, rate) in rates {
            switch::rate(name, rate)?;
        }
        // Ten rates of a tenth are not quite 1 in binary.
        if rates.iter().map(|(_, rate)| rate).sum::<f64>() > 1.0 + 1e-9 {
            let names = rates.map(|(name, _)| name).join(", ");
            return Err(format!("{names} together must not exceed 1"));
        }
        switch::milliseconds("latency_ms", self.latency_ms)?;
        switch::milliseconds("slow_bytes_ms", self.slow_bytes_ms)?;
        switch::milliseconds("pending_ms", self.pending_ms)
    }

    /// What the call with this draw, uniform in 0..1, meets: the hanging calls are the lowest draws, the
    /// failing ones those above them, and so on.
    pub fn fault(&self, draw: f64) -> Fault {
        let (before, after) = match self.errors {
            Errors::Either => (self.error_rate / 2.0, self.error_rate / 2.0),
            Errors::BeforeWork => (self.error_rate, 0.0),
            Errors::AfterWork => (0.0, self.error_rate),
        };
        let mut left = draw;
        for (rate, fault) in [
            (self.hang_rate, Fault::Hang),
            (before, Fault::ErrorBefore),
            (after, Fault::ErrorAfter),
            (self.reset_rate, Fault::Reset),
            (self.malformed_rate, Fault::Malformed),
            (self.reject_rate, Fault::Reject),
        ] {
            left -= rate;
            if left < 0.0 {
                return fault;
            }
        }
        Fault::None
    }

    /// Whether a draw can meet a fault.
    pub fn is_faulty(&self) -> bool {
        self.fault(0.0) != Fault::None
    }

    /// How long an answer is held back.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    /// How long it takes from one handful of bytes to the next, if they come slowly.
    pub fn slow_bytes(&self) -> Option<Duration> {
        (self.slow_bytes_ms > 0).then(|| Duration::from_millis(self.slow_bytes_ms))
    }

    /// How long an asynchronous verification stays pending.
    pub fn pending(&self) -> Duration {
        Duration::from_millis(self.pending_ms)
    }
}

/// One gateway's behaviour with its name, as `PUT /_sandbox/behaviour` takes it and `GET` lists it.
#[derive(Debug, Serialize)]
pub struct NamedBehaviour {
    /// Whose behaviour.
    pub gateway: Gateway,
    /// The behaviour itself, its members beside the name.
    #[serde(flatten)]
    pub behaviour: Behaviour,
}

impl NamedBehaviour {
    /// Reads the body of a `PUT`, or says in a sentence what is wrong. What is left out is 0 or false.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let (gateway, behaviour) = switch::parse::<Behaviour>(json)?;
        behaviour.check()?;
        Ok(Self { gateway, behaviour })
    }
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
    pub fn list(&self) -> [NamedBehaviour; Gateway::COUNT] {
        Gateway::ALL.map(|gateway| NamedBehaviour {
            gateway,
            behaviour: self.of(gateway),
        })
    }

    fn lock(&self, gateway: Gateway) -> MutexGuard<'_, Behaviour> {
        self.by_gateway[gateway.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<NamedBehaviour, String> {
        NamedBehaviour::parse(json.as_bytes())
    }

    #[test]
    fn what_is_left_out_is_zero() {
        let named = parse(r#"{"gateway":"CASHFREE"}"#).unwrap();
        assert_eq!(named.gateway, Gateway::Cashfree);
        assert_eq!(named.behaviour, Behaviour::default());
        assert!(!named.behaviour.is_faulty());
        let slow = parse(r#"{"gateway":"setu","latency_ms":7,"hang_rate":1}"#).unwrap();
        assert_eq!(slow.gateway, Gateway::Setu);
        assert_eq!(slow.behaviour.latency(), Duration::from_millis(7));
        assert!(slow.behaviour.is_faulty());
    }

    #[test]
    fn bad_values_are_named() {
        for (json, word) in [
            (r#"{"gateway":"PAYPAL"}"#, "PAYPAL"),
            (r#"{"gateway":7}"#, "text"),
            (r#"{"gateway":"CASHFREE","error_rate":1.1}"#, "error_rate"),
            (r#"{"gateway":"CASHFREE","hang_rate":-0.1}"#, "hang_rate"),
            (r#"{"gateway":"CASHFREE","reset_rate":2}"#, "reset_rate"),
            (
                r#"{"gateway":"CASHFREE","error_rate":0.6,"hang_rate":0.3,"reject_rate":0.2}"#,
                "together",
            ),
            (
                r#"{"gateway":"CASHFREE","latency_ms":86400001}"#,
                "latency_ms",
            ),
            (
                r#"{"gateway":"CASHFREE","slow_bytes_ms":86400001}"#,
                "slow_bytes_ms",
            ),
            (r#"{"gateway":"CASHFREE","pending_ms":-1}"#, "-1"),
            (r#"{"gateway":"CASHFREE","errors":"never"}"#, "never"),
            (r#"{"gateway":"CASHFREE","refuse_ip":1}"#, "boolean"),
            (r#"{"gateway":"CASHFREE","latency":5}"#, "latency"),
            (r#"{"latency_ms":5}"#, "gateway"),
            ("[]", "map"),
        ] {
            let error = parse(json).map(|named| named.behaviour).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn rates_may_add_up_to_one() {
        let whole = r#"{"gateway":"PAYU","error_rate":0.1,"hang_rate":0.2,"reset_rate":0.3,
            "malformed_rate":0.3,"reject_rate":0.1}"#;
        let behaviour = parse(whole).unwrap().behaviour;
        assert_eq!(behaviour.fault(0.999_999), Fault::Reject);
    }

    #[test]
    fn draws_fall_where_the_rates_say() {
        let behaviour = Behaviour {
            hang_rate: 0.1,
            error_rate: 0.4,
            reset_rate: 0.1,
            malformed_rate: 0.1,
            reject_rate: 0.1,
            ..Behaviour::default()
        };
        for (draw, fault) in [
            (0.0, Fault::Hang),
            (0.09, Fault::Hang),
            (0.11, Fault::ErrorBefore),
            (0.29, Fault::ErrorBefore),
            (0.31, Fault::ErrorAfter),
            (0.49, Fault::ErrorAfter),
            (0.51, Fault::Reset),
            (0.61, Fault::Malformed),
            (0.71, Fault::Reject),
            (0.79, Fault::Reject),
            (0.81, Fault::None),
            (0.999, Fault::None),
        ] {
            assert_eq!(behaviour.fault(draw), fault, "{draw}");
        }
        assert_eq!(Behaviour::default().fault(0.0), Fault::None);
    }

    #[test]
    fn errors_come_when_they_are_asked_for() {
        for (errors, low, high) in [
            (Errors::Either, Fault::ErrorBefore, Fault::ErrorAfter),
            (Errors::BeforeWork, Fault::ErrorBefore, Fault::ErrorBefore),
            (Errors::AfterWork, Fault::ErrorAfter, Fault::ErrorAfter),
        ] {
            let always = Behaviour {
                error_rate: 1.0,
                errors,
                ..Behaviour::default()
            };
            assert_eq!(always.fault(0.0), low);
            assert_eq!(always.fault(0.999_999), high);
        }
    }
}
