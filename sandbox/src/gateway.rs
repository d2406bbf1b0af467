//! The gateways that the sandbox stands in for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// A gateway, by the name Khata has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Gateway {
    Cashfree,
    Razorpay,
    Setu,
    Decentro,
    Payu,
}

impl Gateway {
    const COUNT: usize = Self::ALL.len();

    /// All gateways, in the order of the enum.
    pub(crate) const ALL: [Self; 5] = [
        Self::Cashfree,
        Self::Razorpay,
        Self::Setu,
        Self::Decentro,
        Self::Payu,
    ];

    /// Returns the name in requests, replies and the ledger's file.
    pub(crate) const fn name(self) -> &'static str {
        ["CASHFREE", "RAZORPAY", "SETU", "DECENTRO", "PAYU"][self as usize]
    }

    /// Finds a gateway by its name in any case. The error is a sentence that lists the names.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|gateway| gateway.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                format!("gateway {name:?} is unknown; use one of {known}")
            })
    }
}

/// One lockable value for each gateway.
#[derive(Debug, Default)]
pub(crate) struct PerGateway<T>([Mutex<T>; Gateway::COUNT]);

/// A value of one gateway with the gateway's name beside its members, as the control API takes and lists
/// it.
#[derive(Debug, Serialize)]
pub(crate) struct Named<T> {
    pub(crate) gateway: Gateway,
    #[serde(flatten)]
    pub(crate) value: T,
}

impl<T> PerGateway<T> {
    pub(crate) fn lock(&self, gateway: Gateway) -> MutexGuard<'_, T> {
        lock(&self.0[gateway as usize])
    }

    /// Returns what `view` makes of each gateway's value, in the order of the gateways.
    pub(crate) fn list<V>(&self, view: impl Fn(&T) -> V) -> Vec<Named<V>> {
        let named = |gateway| Named {
            gateway,
            value: view(&self.lock(gateway)),
        };
        Gateway::ALL.map(named).into()
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
    fn every_gateway_is_found_by_its_name_and_index() {
        for (index, gateway) in Gateway::ALL.into_iter().enumerate() {
            assert_eq!(gateway as usize, index);
            assert_eq!(Gateway::named(gateway.name()), Ok(gateway));
            assert_eq!(Gateway::named(&gateway.name().to_lowercase()), Ok(gateway));
            assert_eq!(serde_json::to_value(gateway).unwrap(), gateway.name());
        }
        let unknown = Gateway::named("NONE").unwrap_err();
        assert!(unknown.contains("NONE") && unknown.contains("CASHFREE, RAZORPAY"));
    }
}
