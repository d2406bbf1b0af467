//! The gateways' names, and values that each gateway has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// A gateway, by the name Khata has for it: in requests, replies and the ledger's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Gateway(pub(crate) &'static str);

impl Gateway {
    /// Finds a gateway by its name in any case. The error is a sentence that lists the names.
    pub(crate) fn named(name: &str, known: &[Self]) -> Result<Self, String> {
        let is_named = |gateway: &&Self| gateway.0.eq_ignore_ascii_case(name);
        known.iter().find(is_named).copied().ok_or_else(|| {
            let known = known.iter().map(|gateway| gateway.0);
            let known = known.collect::<Vec<_>>().join(", ");
            format!("gateway {name:?} is unknown; use one of {known}")
        })
    }
}

/// One lockable value for each gateway.
#[derive(Debug)]
pub(crate) struct PerGateway<T>(Vec<(Gateway, Mutex<T>)>);

/// A value of one gateway with the gateway's name beside its members, as the control API takes and lists
/// it.
#[derive(Debug, Serialize)]
pub(crate) struct Named<T> {
    pub(crate) gateway: Gateway,
    #[serde(flatten)]
    pub(crate) value: T,
}

impl<T: Default> PerGateway<T> {
    pub(crate) fn new(gateways: &[Gateway]) -> Self {
        let value = |&gateway| (gateway, Mutex::default());
        Self(gateways.iter().map(value).collect())
    }

    /// Locks the value of a gateway.
    #[allow(clippy::expect_used)] // A gateway without a value has no routes either.
    pub(crate) fn lock(&self, gateway: Gateway) -> MutexGuard<'_, T> {
        let mut values = self.0.iter();
        let value = values.find(|(named, _)| *named == gateway);
        lock(&value.expect("the gateway is registered").1)
    }

    /// Returns what `view` makes of each gateway's value, in the order of the gateways.
    pub(crate) fn list<V>(&self, view: impl Fn(&mut T) -> V) -> Vec<Named<V>> {
        let named = |(gateway, value): &(Gateway, Mutex<T>)| Named {
            gateway: *gateway,
            value: view(&mut lock(value)),
        };
        self.0.iter().map(named).collect()
    }
}

/// Locks a mutex. A panic of another holder is no reason to stop: each change under a lock is complete
/// in itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_found_by_its_name_in_any_case() {
        let known = [Gateway("CASHFREE"), Gateway("SETU")];
        assert_eq!(Gateway::named("Setu", &known), Ok(known[1]));
        assert_eq!(serde_json::to_value(known[1]).unwrap(), "SETU");
        let unknown = Gateway::named("NONE", &known).unwrap_err();
        assert!(unknown.contains("NONE") && unknown.contains("CASHFREE, SETU"));
    }
}
