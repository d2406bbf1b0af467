//! The gateways the sandbox stands in for. A new one is named here and gets a folder of its own.

use serde::Serialize;

/// One gateway, by the name Khata knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Gateway {
    /// Cashfree Secure ID, under `/cashfree/verification`.
    Cashfree,
    /// RazorpayX account validation, under `/razorpay`.
    Razorpay,
    /// Setu bank account verification and UMAP, under `/setu`.
    Setu,
    /// Decentro account validation, under `/decentro`.
    Decentro,
    /// PayU payouts and its VPA look-up, under `/payu`.
    Payu,
}

impl Gateway {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in the order of [`Gateway::index`].
    pub const ALL: [Self; 5] = [
        Self::Cashfree,
        Self::Razorpay,
        Self::Setu,
        Self::Decentro,
        Self::Payu,
    ];

    /// The name in requests, answers and the ledger's file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cashfree => "CASHFREE",
            Self::Razorpay => "RAZORPAY",
            Self::Setu => "SETU",
            Self::Decentro => "DECENTRO",
            Self::Payu => "PAYU",
        }
    }

    /// The gateway of that name, whatever its case; else a sentence that names those there are.
    pub fn named(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|gateway| gateway.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                format!("gateway {name:?} is unknown; there are {known}")
            })
    }

    /// Its place in tables that hold one thing a gateway.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_gateway_is_found_by_its_name_and_place() {
        for (place, gateway) in Gateway::ALL.into_iter().enumerate() {
            assert_eq!(gateway.index(), place);
            assert_eq!(Gateway::named(gateway.name()), Ok(gateway));
            assert_eq!(Gateway::named(&gateway.name().to_lowercase()), Ok(gateway));
            assert_eq!(serde_json::to_value(gateway).unwrap(), gateway.name());
        }
        let unknown = Gateway::named("NOBODY").unwrap_err();
        assert!(unknown.contains("NOBODY") && unknown.contains("CASHFREE, RAZORPAY"));
    }
}
