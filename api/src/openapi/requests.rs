//! What calls may carry, for the document only: bodies are read by `decode` and `request`, which also tell every fault. A
//! test holds the two together.
#![allow(dead_code, reason = "schemas")]

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Metadata;

/// The schemas of forms that are never JSON.
pub(super) const FORMS: [&str; 3] = ["BankAccountForm", "CreateAccountsForm", "ValidateForm"];

/// A customer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CustomerPath {
    /// Khata's id, or your own reference.
    #[param(pattern = "^[!-~]{1,128}$", example = "customer_1122")]
    customer_id: String,
}

/// An account of a customer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AccountPath {
    /// Khata's id, or your own reference.
    #[param(pattern = "^[!-~]{1,128}$", example = "customer_1122")]
    customer_id: String,
    #[param(example = "banh_01k82u7s7aeqraoh1tia1a3hc8")]
    account_id: String,
}

/// A page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PagingQuery {
    /// Accounts a page.
    #[param(minimum = 1, maximum = 100, default = 10)]
    count: Option<u8>,
    /// Accounts to leave out before it.
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    offset: Option<u64>,
}

/// What to do.
#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum CreateCommand {
    Create,
    Validate,
}

#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum DeleteCommand {
    Delete,
}

/// A bank account.
#[derive(ToSchema, Serialize)]
struct BankItem {
    /// Of the branch; trimmed and upper-cased.
    #[schema(pattern = "^[A-Z]{4}0[A-Z0-9]{6}$", example = "AABF0008032")]
    ifsc: String,
    /// Taken literally: leading zeros count.
    #[schema(pattern = "^[A-Za-z0-9]{5,35}$", example = "026291800001191")]
    account_number: String,
    /// The holder's name as you know it.
    #[schema(min_length = 1, max_length = 120, example = "test")]
    beneficiary_name: Option<String>,
    /// `JP_…` or digits; echoed.
    #[schema(pattern = "^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$", example = "12")]
    bank_code: Option<String>,
}

/// A UPI address.
#[derive(ToSchema, Serialize)]
struct UpiItem {
    #[schema(
        pattern = "^[A-Za-z0-9._-]{2,100}@[A-Za-z][A-Za-z0-9.-]{0,50}$",
        example = "9164326296@upi"
    )]
    vpa: String,
}

/// Proof that the payee agreed to be asked about.
#[derive(ToSchema, Serialize)]
struct ConsentBody {
    obtained: bool,
    #[schema(min_length = 1, max_length = 250, example = "payout verification")]
    purpose: String,
    /// Not in the future.
    #[schema(format = DateTime, example = "2025-10-27T09:24:36Z")]
    timestamp: String,
}

macro_rules! call {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(ToSchema, Serialize)]
        $(#[$doc])*
        pub(crate) struct $name {
            $($(#[$field_doc])* $field: $type,)*
            /// `validate` waits for the outcomes.
            #[schema(inline)]
            command: Option<CreateCommand>,
            /// Seconds to wait for the outcomes; needs `command=validate`; default 10.
            #[schema(minimum = 0, maximum = 30)]
            wait_seconds: Option<u8>,
            /// The gateway to validate with, by its number: 12 PAYU, 23 RAZORPAY, 70 CASHFREE, 100 DUMMY (sandbox), 1001 SETU,
            /// 1002 DECENTRO.
            #[schema(minimum = 1, maximum = 32_767)]
            gateway_id: Option<i16>,
            /// Which of your accounts there; needs `gateway_id`.
            #[schema(pattern = "^[!-~]{1,128}$")]
            gateway_reference_id: Option<String>,
            /// Ask a gateway even where an earlier result could be used again; default false.
            fresh: Option<bool>,
            #[schema(inline)]
            metadata: Option<Metadata>,
            consent: Option<ConsentBody>,
        }
    };
}

macro_rules! form {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(ToSchema, Serialize)]
        $(#[$doc])*
        pub(crate) struct $name {
            $($(#[$field_doc])* $field: $type,)*
            /// The gateway to validate with, by its number: 12 PAYU, 23 RAZORPAY, 70 CASHFREE, 100 DUMMY (sandbox), 1001 SETU,
            /// 1002 DECENTRO.
            #[schema(minimum = 1, maximum = 32_767)]
            gateway_id: Option<i16>,
            /// Which of your accounts there; needs `gateway_id`.
            #[schema(pattern = "^[!-~]{1,128}$")]
            gateway_reference_id: Option<String>,
            /// Ask a gateway even where an earlier result could be used again; default false.
            fresh: Option<bool>,
            /// Proof that the payee agreed to be asked about; all three or none.
            #[serde(rename = "consent.obtained")]
            consent_obtained: Option<bool>,
            #[serde(rename = "consent.purpose")]
            #[schema(min_length = 1, max_length = 250)]
            consent_purpose: Option<String>,
            /// Not in the future.
            #[serde(rename = "consent.timestamp")]
            #[schema(format = DateTime)]
            consent_timestamp: Option<String>,
        }
    };
}

form!(
    /// Either the fields of one account (`ifsc`, `account_number`, `beneficiary_name`, `bank_code`, or `vpa`), or the arrays
    /// `bank_account_details` and `upi_details` as JSON text or in the indexed form `bank_account_details[0][ifsc]=…`.
    /// `metadata.<name>=<value>` is echoed: at most 20, name 1–40 characters, value at most 500.
    #[schema(example = json!({ "ifsc": "AABF0008032", "account_number": "026291800001191", "beneficiary_name": "test", "bank_code": "12" }))]
    CreateAccountsForm {
        #[schema(example = "AABF0008032")]
        ifsc: Option<String>,
        #[schema(pattern = "^[A-Za-z0-9]{5,35}$", example = "026291800001191")]
        account_number: Option<String>,
        #[schema(min_length = 1, max_length = 120, example = "test")]
        beneficiary_name: Option<String>,
        /// Beside arrays: the default for their bank accounts.
        #[schema(pattern = "^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$", example = "12")]
        bank_code: Option<String>,
        vpa: Option<String>,
        /// JSON text of an array of bank accounts.
        bank_account_details: Option<String>,
        /// JSON text of an array of UPI addresses.
        upi_details: Option<String>,
        /// `validate` waits for the outcomes.
        #[schema(inline)]
        command: Option<CreateCommand>,
        /// Seconds to wait for the outcomes; needs `command=validate`; default 10.
        #[schema(minimum = 0, maximum = 30)]
        wait_seconds: Option<u8>,
    }
);

call!(
    /// One bank account.
    OneBankAccount {
        #[schema(pattern = "^[A-Z]{4}0[A-Z0-9]{6}$", example = "AABF0008032")]
        ifsc: String,
        #[schema(pattern = "^[A-Za-z0-9]{5,35}$", example = "026291800001191")]
        account_number: String,
        #[schema(min_length = 1, max_length = 120, example = "test")]
        beneficiary_name: Option<String>,
        #[schema(pattern = "^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$", example = "12")]
        bank_code: Option<String>,
    }
);
call!(
    /// One UPI address.
    OneUpiAddress {
        #[schema(pattern = "^[A-Za-z0-9._-]{2,100}@[A-Za-z][A-Za-z0-9.-]{0,50}$", example = "9164326296@upi")]
        vpa: String,
    }
);
call!(
    /// Up to 100 accounts in all, at least one.
    ManyAccounts {
        #[schema(max_items = 100)]
        bank_account_details: Option<Vec<BankItem>>,
        #[schema(max_items = 100)]
        upi_details: Option<Vec<UpiItem>>,
        /// The default for the bank accounts.
        #[schema(pattern = "^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$")]
        bank_code: Option<String>,
    }
);

/// One account in flat fields, or many in arrays.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
#[schema(example = json!({
    "bank_account_details": [{ "ifsc": "AABF0008032", "account_number": "026291800001191", "beneficiary_name": "test" }],
    "upi_details": [{ "vpa": "9164326296@upi" }],
}))]
pub(crate) enum CreateAccountsJson {
    Bank(OneBankAccount),
    Upi(OneUpiAddress),
    Many(ManyAccounts),
}

/// One bank account.
pub(crate) type BankAccountJson = OneBankAccount;

form!(
    /// One bank account. `metadata.<name>=<value>` is echoed.
    #[schema(example = json!({ "ifsc": "AABF0008032", "account_number": "026291800001191", "beneficiary_name": "test" }))]
    BankAccountForm {
        #[schema(pattern = "^[A-Z]{4}0[A-Z0-9]{6}$", example = "AABF0008032")]
        ifsc: String,
        #[schema(pattern = "^[A-Za-z0-9]{5,35}$", example = "026291800001191")]
        account_number: String,
        #[schema(min_length = 1, max_length = 120, example = "test")]
        beneficiary_name: Option<String>,
        #[schema(pattern = "^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$", example = "12")]
        bank_code: Option<String>,
        /// `validate` waits for the outcome.
        #[schema(inline)]
        command: Option<CreateCommand>,
        /// Seconds to wait for the outcome; needs `command=validate`; default 10.
        #[schema(minimum = 0, maximum = 30)]
        wait_seconds: Option<u8>,
    }
);

form!(
    /// All of it may be left out.
    ValidateForm {
        /// Seconds to wait for the outcome; default 10.
        #[schema(minimum = 0, maximum = 30)]
        wait_seconds: Option<u8>,
    }
);

/// All of it may be left out.
#[derive(ToSchema, Serialize)]
pub(crate) struct ValidateJson {
    /// Seconds to wait for the outcome; default 10.
    #[schema(minimum = 0, maximum = 30)]
    wait_seconds: Option<u8>,
    /// The gateway to validate with, in the place of the one the account was created with: 12 PAYU, 23 RAZORPAY,
    /// 70 CASHFREE, 100 DUMMY (sandbox), 1001 SETU, 1002 DECENTRO.
    #[schema(minimum = 1, maximum = 32_767)]
    gateway_id: Option<i16>,
    /// Which of your accounts there; needs `gateway_id`.
    #[schema(pattern = "^[!-~]{1,128}$")]
    gateway_reference_id: Option<String>,
    /// Ask a gateway even where an earlier result could be used again; default false.
    fresh: Option<bool>,
    consent: Option<ConsentBody>,
}

/// What to do with the account.
#[derive(ToSchema, Serialize)]
pub(crate) struct DeleteBody {
    #[schema(inline)]
    command: DeleteCommand,
}

/// How a customer can be reached.
#[derive(ToSchema, Serialize)]
pub(crate) struct Contact {
    /// Without the country code.
    #[schema(pattern = "^[0-9]{1,16}$", example = "9876543210")]
    mobile_number: Option<String>,
    /// Without `+`; 91 if none is given.
    #[schema(pattern = "^[0-9]{1,4}$", example = "91")]
    mobile_country_code: Option<String>,
    #[schema(max_length = 128, example = "asha@example.com")]
    email_address: Option<String>,
    #[schema(max_length = 64, example = "Asha")]
    first_name: Option<String>,
    #[schema(max_length = 64, example = "Rao")]
    last_name: Option<String>,
}

/// A customer.
#[derive(ToSchema, Serialize)]
pub(crate) struct CreateCustomer {
    /// Your own name for the customer; unique among your customers.
    #[schema(pattern = "^[!-~]{1,128}$", example = "customer_1122")]
    object_reference_id: String,
    #[serde(flatten)]
    #[schema(inline)]
    contact: Contact,
}
