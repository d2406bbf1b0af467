//! Pure domain types and decisions, without I/O. The caller passes in the time and random numbers; only a new id reads the
//! clock, because a UUID v7 holds its time.
//!
//! A value that exists is valid, because only its `parse` makes it. Personal data can be read only through `expose`;
//! `Debug` and `Display` mask it.

#[macro_use]
mod words;

#[cfg(feature = "diesel")]
#[doc(hidden)]
pub use diesel;

pub mod account;
pub mod attempt;
pub mod backoff;
pub mod circuit;
mod decay;
pub mod events;
#[doc(hidden)]
pub mod failpoints;
mod fields;
pub mod gateway;
pub mod ids;
#[doc(hidden)]
pub mod mutants;
pub mod outcome;
pub mod plan;
pub mod routing;
pub mod score;
pub mod status;
pub mod text;
pub mod traffic;
pub mod validation;
pub mod validation_state;

pub use account::{
    AccountKind, AccountNumber, AccountType, BankAccount, BankCode, BeneficiaryName, Consent,
    Details, Ifsc, Vpa,
};
pub use events::{EventName, Payload};
pub use gateway::{
    CallFailure, Gateway, GatewayResponse, LateCalls, LostResponse, Method, Recovery,
};
pub use ids::{
    AccountId, CustomerId, CustomerRef, EventId, GatewayAccountId, KeyId, MerchantId,
    ObjectReferenceId, ValidationId, ValidationKey,
};
pub use outcome::Class;
pub use status::AccountStatus;
pub use validation_state::{PendingReason, ValidationState};
