//! Accounts to create: one request's, encrypted and ready to store.

use chrono::TimeDelta;

use crate::group_commit::Weight;
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{AccountId, AccountKind, MerchantId, ValidationId};

/// The terms of the validations that a request begins. Times are durations from the transaction on: only Postgres's clock counts.
#[derive(Clone, Debug)]
pub struct ValidationTerms {
    /// JSON of the payee's consent.
    pub consent: Option<String>,
    /// W3C trace context of the request.
    pub trace_parent: Option<String>,
    /// Time after which the workers give up the validations.
    pub deadline: TimeDelta,
    /// How long the caller waits for the outcome, if it waits.
    pub awaited: Option<TimeDelta>,
    /// Maximum validations of the same account, in any spelling, in 24 hours.
    pub validations_per_day: i16,
    /// Maximum penny drops of the merchant in a day.
    pub penny_drops_per_day: i32,
    /// Call a gateway even if a recent result could be reused.
    pub fresh: bool,
}

/// The accounts of one request.
#[derive(Clone, Debug)]
pub struct CreateAccounts {
    pub merchant: MerchantId,
    pub customer: CustomerRef,
    /// Register the customer if the reference is unknown.
    pub implicit_customer: bool,
    /// Gateway that the request named.
    pub pin: Pin,
    /// The request's metadata, a JSON object.
    pub metadata: String,
    /// The request's `x-routing-id`.
    pub routing_id: Option<String>,
    pub terms: ValidationTerms,
    pub accounts: Vec<NewAccount>,
}

impl CreateAccounts {
    /// Whether the account's first validation may make a penny drop. Only the payee's consent permits one to a UPI address.
    pub(super) fn may_pay(&self, account: &NewAccount) -> bool {
        account.kind == AccountKind::Bank || self.terms.consent.is_some()
    }

    /// Returns the weight of the request in a transaction. The row of each account has a copy of what the request says once.
    pub fn weight(&self) -> Weight {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let terms = &self.terms;
        let copied = self.metadata.len()
            + length(&terms.consent)
            + length(&terms.trace_parent)
            + length(&self.routing_id)
            + length(&self.pin.reference_id);
        let of_account = |account: &NewAccount| {
            account.sealed_details.len()
                + account.fingerprint.len()
                + account.masked.len()
                + length(&account.bank_code)
                + account.sealed_webhook_url.as_ref().map_or(0, Vec::len)
                + copied
        };
        Weight {
            rows: self.accounts.len(),
            bytes: self.accounts.iter().map(of_account).sum(),
        }
    }
}

/// An encrypted account, with its first validation.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub id: AccountId,
    pub validation: ValidationId,
    pub kind: AccountKind,
    /// Encrypted for the account's id.
    pub sealed_details: Vec<u8>,
    /// Equal for equal details; the first half is equal for all spellings of one account.
    pub fingerprint: [u8; 32],
    /// The number or address that operators may see.
    pub masked: String,
    /// Juspay's bank code.
    pub bank_code: Option<String>,
    /// The URL that gets the account's events, if the request named one: an encrypted [`crate::webhooks::AccountUrl`].
    pub sealed_webhook_url: Option<Vec<u8>>,
}
