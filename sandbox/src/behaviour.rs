//! How each gateway behaves: slow, failing, silent, or late with its outcomes. `PUT
//! /_sandbox/behaviour` sets it; a pure function decides from one random draw which fault a call meets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::body::{check_milliseconds, check_rate, named};
use crate::gateway::{Gateway, Named};

/// A gateway's behaviour; the crate's README says what each member does. The default is a gateway without
/// faults. A rate is a fraction of calls, 0 to 1. The rates exclude each other, so together they are at
/// most 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the members are switches of a control API"
)]
pub(crate) struct Behaviour {
    pub(crate) latency_ms: u64,
    slow_bytes_ms: u64,
    pending_ms: u64,
    error_rate: f64,
    errors: Errors,
    hang_rate: f64,
    reset_rate: f64,
    malformed_rate: f64,
    reject_rate: f64,
    pub(crate) calls_per_minute: u32,
    pub(crate) retry_after_s: u32,
    pub(crate) insufficient_balance: bool,
    pub(crate) refuse_ip: bool,
    pub(crate) unknown_code: bool,
    pub(crate) odd_fields: bool,
}

/// A code that is in no gateway's table.
pub(crate) const UNKNOWN_CODE: &str = "A_CODE_OF_NEXT_YEAR";

/// When a failing call fails: half of the calls before the work and half after it, or all before, or all
/// after it, the case that a client must survive without a second payment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Errors {
    #[default]
    Either,
    BeforeWork,
    AfterWork,
}

/// The fault that a call meets. All but `ErrorBefore` and `Reject` do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    ErrorBefore,
    ErrorAfter,
    Hang,
    Reset,
    Malformed,
    Reject,
}

impl Behaviour {
    fn check(&self) -> Result<(), String> {
        let rates = [
            ("error_rate", self.error_rate),
            ("hang_rate", self.hang_rate),
            ("reset_rate", self.reset_rate),
            ("malformed_rate", self.malformed_rate),
            ("reject_rate", self.reject_rate),
        ];
        for (name, rate) in rates {
            check_rate(name, rate)?;
        }
        // Ten rates of a tenth are not quite 1 in binary.
        if rates.iter().map(|(_, rate)| rate).sum::<f64>() > 1.0 + 1e-9 {
            let names = rates.map(|(name, _)| name).join(", ");
            return Err(format!("{names} together must not exceed 1"));
        }
        check_milliseconds("latency_ms", self.latency_ms)?;
        check_milliseconds("slow_bytes_ms", self.slow_bytes_ms)?;
        check_milliseconds("pending_ms", self.pending_ms)
    }

    /// Returns the fault for this draw, uniform in 0..1: the lowest draws hang, the draws above them
    /// fail, and so on.
    pub(crate) fn fault(&self, draw: f64) -> Fault {
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

    /// Returns whether a draw can meet a fault.
    pub(crate) fn is_faulty(&self) -> bool {
        self.fault(0.0) != Fault::None
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    /// Returns the delay before each 16 bytes, if there is one.
    pub(crate) fn slow_bytes(&self) -> Option<Duration> {
        (self.slow_bytes_ms > 0).then(|| Duration::from_millis(self.slow_bytes_ms))
    }

    pub(crate) fn pending(&self) -> Duration {
        Duration::from_millis(self.pending_ms)
    }
}

/// Reads the body of `PUT /_sandbox/behaviour`, or says in a sentence what is wrong. Absent members are
/// 0 or false.
pub(crate) fn parse(json: &[u8], known: &[Gateway]) -> Result<Named<Behaviour>, String> {
    let named = named::<Behaviour>(json, known)?;
    named.value.check()?;
    Ok(named)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KNOWN: [Gateway; 3] = [Gateway("CASHFREE"), Gateway("SETU"), Gateway("PAYU")];

    fn parsed(json: &str) -> Result<Named<Behaviour>, String> {
        parse(json.as_bytes(), &KNOWN)
    }

    #[test]
    fn absent_members_are_zero() {
        let named = parsed(r#"{"gateway":"CASHFREE"}"#).unwrap();
        assert_eq!(named.gateway, Gateway("CASHFREE"));
        assert_eq!(named.value, Behaviour::default());
        assert!(!named.value.is_faulty());
        let slow = parsed(r#"{"gateway":"setu","latency_ms":7,"hang_rate":1}"#).unwrap();
        assert_eq!(slow.gateway, Gateway("SETU"));
        assert_eq!(slow.value.latency(), Duration::from_millis(7));
        assert!(slow.value.is_faulty());
    }

    #[test]
    fn the_error_names_the_bad_value() {
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
            let error = parsed(json).map(|named| named.value).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn rates_may_add_up_to_one() {
        let whole = r#"{"gateway":"PAYU","error_rate":0.1,"hang_rate":0.2,"reset_rate":0.3,
            "malformed_rate":0.3,"reject_rate":0.1}"#;
        let behaviour = parsed(whole).unwrap().value;
        assert_eq!(behaviour.fault(0.999_999), Fault::Reject);
    }

    #[test]
    fn draws_meet_the_faults_in_proportion_to_the_rates() {
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
    fn errors_come_before_or_after_the_work_as_set() {
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
