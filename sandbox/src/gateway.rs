//! The gateways the sandbox stands in for. A new one is named here and gets a folder of its own.

use serde::Serialize;

/// One gateway, by the name Khata knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Gateway {
    /// Cashfree Secure ID, under `/cashfree/verification`.
    Cashfree,
}

impl Gateway {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in the order of [`Gateway::index`].
    pub const ALL: [Self; 1] = [Self::Cashfree];

    /// The name in requests, answers and the ledger's file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cashfree => "CASHFREE",
        }
    }

    /// The gateway of that name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|gateway| gateway.name().eq_ignore_ascii_case(name))
    }

    /// Its place in tables that hold one thing a gateway.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gateway_is_found_by_its_name_and_place() {
        for (place, gateway) in Gateway::ALL.into_iter().enumerate() {
            assert_eq!(gateway.index(), place);
            assert_eq!(Gateway::named(gateway.name()), Some(gateway));
            assert_eq!(
                Gateway::named(&gateway.name().to_lowercase()),
                Some(gateway)
            );
        }
        assert_eq!(Gateway::named("NOBODY"), None);
    }
}
