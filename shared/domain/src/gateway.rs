//! Gateways, the methods they validate by, and their responses in words that no gateway owns.

use std::fmt;
use std::time::Duration;

use crate::account::AccountType;
use crate::ids::{GatewayAccountId, MerchantId};
use crate::outcome::{Class, FailureCode};

/// Declares [`Gateway`]: one line per gateway, with its id and its name.
macro_rules! gateways {
    ($($(#[$doc:meta])* $variant:ident = $id:literal $name:literal),+ $(,)?) => {
        /// A gateway that Khata has a connector for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum Gateway { $($(#[$doc])* $variant = $id),+ }

        impl Gateway {
            /// Every gateway, by id.
            pub const ALL: [Self; [$($id),+].len()] = [$(Self::$variant),+];

            /// Returns Juspay's id of the gateway, which attempts store: an id is never given to another gateway.
            pub fn id(self) -> i16 {
                self as i16
            }

            /// Returns the name that operators use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

gateways! {
    /// PayU.
    Payu = 12 "PAYU",
    /// Razorpay and RazorpayX.
    Razorpay = 23 "RAZORPAY",
    /// Cashfree Secure ID.
    Cashfree = 70 "CASHFREE",
    /// Built in, for merchants' own tests; only in sandbox mode.
    Dummy = 100 "DUMMY",
    /// Setu.
    Setu = 1001 "SETU",
    /// Decentro.
    Decentro = 1002 "DECENTRO",
}

impl Gateway {
    /// Returns the gateway with this id.
    pub fn from_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|gateway| gateway.id() == id)
    }

    /// Returns the gateway with this name, in any case, or with this id in digits.
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
    /// How a gateway validates an account.
    Method {
        /// The gateway sends one rupee to the account or VPA.
        PennyDrop = "PENNY_DROP",
        /// The gateway asks the bank, without a transfer.
        Penniless = "PENNILESS",
        /// The gateway asks the payment service provider for the owner of the VPA.
        VpaLookup = "VPA_LOOKUP",
    }
}

impl Method {
    /// Whether a repeated call may pay a second time.
    pub fn moves_money(self) -> bool {
        self == Self::PennyDrop
    }
}

/// A gateway account and its merchant: the key of every row of a gateway account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "diesel", derive(diesel::QueryableByName))]
pub struct GatewayKey {
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = merchant_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub merchant: MerchantId,
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = gateway_account_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub account: GatewayAccountId,
}

/// What the gateway offers after the response to a call was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// A lookup by our reference. A call that the gateway has not received is made again under the same reference; [`LateCalls`]
    /// says when.
    Lookup,
    /// The same call again under the same idempotency key.
    Resubmit,
    /// Nothing: the worker makes at most one new attempt and counts a possible double drop.
    None,
}

/// Time by which a call has reached any gateway, or never will. No gateway publishes a bound. A load balancer holds a request for
/// 60 s at most by usual settings.
pub const SETTLING_TIME: Duration = Duration::from_secs(90);

/// Times that decide what a lookup proves that does not find a call: the call may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateCalls {
    /// Time by which a call has reached the gateway, or never will. Before, another gateway account must not make the call, because
    /// both could move a rupee.
    pub settles_after: Duration,
    /// The gateway refuses a second use of a reference. The same call may be made again at once under the same reference: it moves
    /// one rupee at most.
    pub refuses_repeats: bool,
    /// Time after which a call that is not found is given up as lost, if the operator has chosen less than [`SETTLING_TIME`]. The
    /// next attempt is a possible double drop.
    pub given_up_after: Option<Duration>,
}

impl Default for LateCalls {
    fn default() -> Self {
        Self {
            settles_after: SETTLING_TIME,
            refuses_repeats: false,
            given_up_after: None,
        }
    }
}

/// A gateway's response about one attempt.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GatewayResponse {
    pub class: Class,
    /// The gateway's own code or status word.
    pub code: String,
    /// Whether the connector's tables do not list the code: the response has the safe class, and is counted.
    pub unlisted: bool,
    /// Why the account fails, if the gateway says more than the class does.
    pub failure: Option<FailureCode>,
    /// The account holder's name, if reported. It may be a placeholder (`NA`), which the worker drops.
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
    /// The gateway's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Fields of the response that could not be read, by the names that the connector reads; never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_understood: Vec<String>,
}

impl GatewayResponse {
    /// Returns a response of this class with nothing but the code.
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
            not_understood: Vec::new(),
        }
    }

    /// Whether the connector's tables list the code, or the status beside it decides.
    pub fn is_listed_or_final(&self) -> bool {
        !self.unlisted || self.class.is_final()
    }

    /// Serializes for encryption.
    pub fn to_plaintext(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses the output of [`Self::to_plaintext`]; `None` for anything else.
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok()
    }

    /// Returns a response whose code no table lists: it says nothing about the account, so another gateway is tried.
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

/// Code of an attempt whose response was lost.
pub const RESPONSE_LOST: &str = "answer_lost";
/// Code of an attempt whose call the gateway has never received, by its own word, and which cannot arrive any more.
pub const NOT_RECEIVED: &str = "not_received";
/// Code of an attempt whose call the gateway has not received so far, by its own word. The call may still arrive.
pub const NOT_YET_RECEIVED: &str = "not_yet_received";

/// Code of an unfinished attempt whose gateway answers, but says nothing clear about the account, or does not know a call that it
/// has accepted.
pub const UNCLEAR_RESPONSE: &str = "unclear_response";

/// Why the response to a call is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostResponse {
    pub reason: String,
    /// Whether the gateway answered, and what it says contradicts itself or cannot be read. To ask again may not help.
    pub is_unclear: bool,
    /// Fields of a received response that could not be read, by the names that the connector reads.
    pub not_understood: Vec<String>,
}

impl From<String> for LostResponse {
    fn from(reason: String) -> Self {
        Self {
            reason,
            is_unclear: false,
            not_understood: Vec::new(),
        }
    }
}

impl From<&str> for LostResponse {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl fmt::Display for LostResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Why a call has no response. The variants differ in whether the gateway may have acted on the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// Nothing reached the gateway: a retry is safe.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The gateway may have acted: recover before anything else.
    #[error("response lost: {0}")]
    ResponseLost(LostResponse),
    /// The gateway rejected the call unread, because of too many calls: nothing was done.
    #[error("rejected because of too many calls")]
    Rejected {
        /// The gateway's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The gateway answered a lookup: it does not know the call that was looked up. The call may still arrive.
    #[error("the gateway has not received the call")]
    NotReceived,
}

impl CallFailure {
    /// Returns the code to store with the attempt.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::ResponseLost(_) => RESPONSE_LOST,
            Self::Rejected { .. } => "turned_away",
            Self::NotReceived => NOT_RECEIVED,
        }
    }

    /// Whether the gateway answered, without saying anything clear about the account.
    pub fn is_unclear(&self) -> bool {
        matches!(self, Self::ResponseLost(lost) if lost.is_unclear)
    }

    /// Returns the gateway's `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after } => *retry_after,
            Self::NotSent(_) | Self::ResponseLost(_) | Self::NotReceived => None,
        }
    }

    /// Returns the fields of a received response that could not be read.
    pub fn not_understood(&self) -> &[String] {
        match self {
            Self::ResponseLost(lost) => &lost.not_understood,
            Self::NotSent(_) | Self::Rejected { .. } | Self::NotReceived => &[],
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
    fn debug_output_hides_the_account_holder() {
        let response = GatewayResponse {
            name_at_bank: Some("ASHA RAO".into()),
            ..GatewayResponse::of(Class::Valid, "ok")
        };
        assert!(!format!("{response:?}").contains("ASHA"));
        assert!(GatewayResponse::from_plaintext(&response.to_plaintext()) == Some(response));
    }
}
