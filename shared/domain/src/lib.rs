//! The field's values and decisions, pure: whoever may read this crate may call them, and they call nobody.
//!
//! A value that exists is valid: it was made by a `parse`. A personal datum shows itself only through `expose`;
//! its `Debug` and `Display` are masked.

#[macro_use]
mod words;

#[cfg(feature = "diesel")]
#[doc(hidden)]
pub use diesel;

pub mod account;
pub mod backoff;
pub mod circuit;
mod decay;
pub mod gateway;
pub mod ids;
pub mod routing;
pub mod score;
pub mod status;
pub mod traffic;
pub mod validation;
pub mod validation_state;

pub use account::{
    AccountKind, AccountNumber, AccountType, BankAccount, BankCode, BeneficiaryName, Consent,
    Details, Ifsc, Vpa,
};
pub use gateway::{CallFailure, Class, Gateway, GatewayResponse, Method, Recovery};
pub use ids::{
    AccountId, CustomerId, CustomerRef, GatewayAccountId, KeyId, MerchantId, ObjectReferenceId,
    ValidationId, ValidationKey,
};
pub use status::AccountStatus;
pub use validation_state::{PendingReason, ValidationState};
