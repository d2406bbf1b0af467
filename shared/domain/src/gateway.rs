//! What is said between Khata and a gateway, in words that are no gateway's own.

use std::fmt;
use std::time::Duration;

use super::account::AccountType;
use super::validation::FailureCode;

/// A gateway Khata knows, by Juspay's id for it (contract, *Gateway ids*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gateway {
    /// PayU.
    Payu,
    /// Razorpay and RazorpayX.
    Razorpay,
    /// Cashfree Secure ID.
    Cashfree,
    /// Built in, for merchants' own tests; only in sandbox mode.
    Dummy,
    /// Setu.
    Setu,
    /// Decentro.
    Decentro,
}

impl Gateway {
    /// Every gateway there is a connector for, by id.
    pub const ALL: [Self; 6] = [
        Self::Payu,
        Self::Razorpay,
        Self::Cashfree,
        Self::Dummy,
        Self::Setu,
        Self::Decentro,
    ];

    /// Juspay's id.
    pub fn id(self) -> i16 {
        match self {
            Self::Payu => 12,
            Self::Razorpay => 23,
            Self::Cashfree => 70,
            Self::Dummy => 100,
            Self::Setu => 1001,
            Self::Decentro => 1002,
        }
    }

    /// The name used by people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Payu => "PAYU",
            Self::Razorpay => "RAZORPAY",
            Self::Cashfree => "CASHFREE",
            Self::Dummy => "DUMMY",
            Self::Setu => "SETU",
            Self::Decentro => "DECENTRO",
        }
    }

    /// The gateway with this id.
    pub fn from_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|gateway| gateway.id() == id)
    }

    /// The gateway with this name (any case) or this id in digits.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gateway| {
            gateway.name().eq_ignore_ascii_case(text) || gateway.id().to_string() == text
        })
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

words! {
    /// How a gateway finds out.
    Method {
        /// One rupee is sent to the account or VPA.
        PennyDrop = "PENNY_DROP",
        /// The bank is asked without a transfer.
        Penniless = "PENNILESS",
        /// The payment service provider is asked who owns the VPA.
        VpaLookup = "VPA_LOOKUP",
    }
}

impl Method {
    /// Whether asking twice may pay twice.
    pub fn moves_money(self) -> bool {
        self == Self::PennyDrop
    }
}

words! {
    /// What an answer means for the account (gateways contract, the outcome classes).
    Class {
        /// The account or VPA exists.
        Valid = "VALID",
        /// The bank or PSP said no, for good.
        Invalid = "INVALID",
        /// Accepted; outcome later.
        Pending = "PENDING",
        /// Nobody said anything about the account.
        Retryable = "RETRYABLE",
        /// This gateway cannot tell.
        Inconclusive = "INCONCLUSIVE",
        /// Our credentials, balance, IP list or feature flag.
        Misconfigured = "MISCONFIGURED",
        /// Suspected fraud, blocked.
        Review = "REVIEW",
    }
}

/// What can be done about a call whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Ask by our reference; never seen means never performed.
    Lookup,
    /// Send the same call again under the same idempotency key.
    Resubmit,
    /// Nothing: one new attempt at most, counted as a possible double drop.
    None,
}

/// A gateway's answer about one attempt.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GatewayResponse {
    /// What it means.
    pub class: Class,
    /// The gateway's own code or status word.
    pub code: String,
    /// Whether the code stands in none of the connector's tables: it was taken for the safe class, and is counted.
    pub unlisted: bool,
    /// Why the account fails, where the class says that it does and the gateway told more.
    pub failure: Option<FailureCode>,
    /// The holder's name where told; placeholders are `None`.
    pub name_at_bank: Option<String>,
    /// Type of the payee's account, if the gateway reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_type: Option<AccountType>,
    /// Unique transaction reference of the penny drop.
    pub utr: Option<String>,
    /// The gateway's id for the call.
    pub gateway_reference: Option<String>,
    /// The gateway's own name-match score, 0–100.
    pub name_match_score: Option<u8>,
    /// How long the gateway asked us to stay away.
    pub retry_after: Option<Duration>,
}

impl GatewayResponse {
    /// An answer of this class with nothing beside the code.
    pub fn of(class: Class, code: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            unlisted: false,
            failure: None,
            name_at_bank: None,
            account_type: None,
            utr: None,
            gateway_reference: None,
            name_match_score: None,
            retry_after: None,
        }
    }

    /// The plaintext to seal.
    pub fn to_plaintext(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads back what [`Self::to_plaintext`] wrote; `None` if it is not that.
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok()
    }

    /// An answer whose code nobody has heard of: it says nothing about the account, and another gateway is asked.
    pub fn unlisted(code: impl Into<String>) -> Self {
        Self {
            unlisted: true,
            ..Self::of(Class::Inconclusive, code)
        }
    }
}

impl fmt::Debug for GatewayResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayResponse")
            .field("class", &self.class)
            .field("code", &self.code)
            .field("gateway_reference", &self.gateway_reference)
            .finish_non_exhaustive()
    }
}

/// The code of an attempt whose answer was lost.
pub const RESPONSE_LOST: &str = "answer_lost";

/// A call that ended without an answer, told apart by whether the gateway may have acted on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// Nothing reached the gateway: safe to try again.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have acted: recover before anything else.
    #[error("answer lost: {0}")]
    ResponseLost(String),
    /// Turned away unheard, as too many had come: nothing was done.
    #[error("turned away as one too many")]
    Rejected {
        /// How long it asked us to stay away.
        retry_after: Option<Duration>,
    },
}

impl CallFailure {
    /// A short code for the attempt's row.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::ResponseLost(_) => RESPONSE_LOST,
            Self::Rejected { .. } => "turned_away",
        }
    }

    /// How long it asked us to stay away.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after } => *retry_after,
            Self::NotSent(_) | Self::ResponseLost(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_found_by_id_and_name() {
        assert_eq!(Gateway::parse("cashfree"), Some(Gateway::Cashfree));
        assert_eq!(Gateway::parse("100"), Some(Gateway::Dummy));
        assert_eq!(Gateway::from_id(7), None);
        for gateway in Gateway::ALL {
            assert_eq!(Gateway::from_id(gateway.id()), Some(gateway));
        }
    }

    #[test]
    fn an_answer_does_not_show_the_holder() {
        let answer = GatewayResponse {
            name_at_bank: Some("ASHA RAO".into()),
            ..GatewayResponse::of(Class::Valid, "ok")
        };
        assert!(!format!("{answer:?}").contains("ASHA"));
        assert!(GatewayResponse::from_plaintext(&answer.to_plaintext()) == Some(answer));
    }
}
