//! Published words: enums of the reply fields, each with the words of its domain type.

use khata_domain::validation::FailureCode;
use khata_domain::{
    AccountStatus, AccountType as PayeeAccountType, Method as GatewayMethod,
    PendingReason as WaitReason,
};
use khata_name_match::NameMatchResult as MatchResult;
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

fn enum_of<'a>(description: &str, words: impl IntoIterator<Item = &'a str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .into()
}

macro_rules! words {
    ($name:ident, $description:literal, $words:expr) => {
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                enum_of($description, $words)
            }
        }

        impl ToSchema for $name {}
    };
}

macro_rules! words_of {
    ($name:ident, $description:literal, $domain:ty) => {
        words!(
            $name,
            $description,
            <$domain>::ALL.iter().map(|one| one.as_str())
        );
    };
}

words_of!(
    Status,
    "`CREATED`: stored, validation not completed. `PENDING`: waiting for the outcome at the gateway. `ACTIVE`: the gateway confirmed the details. `FAILURE`: the details are not valid; see `validation.failure`. `DELETED`: deleted.",
    AccountStatus
);
words_of!(
    Method,
    "How the gateway validated the account.",
    GatewayMethod
);
words_of!(NameMatchResult, "Category of the score.", MatchResult);
words_of!(
    FailureWord,
    "Why an account failed. `VALIDATION_UNAVAILABLE` says nothing about the account: no gateway responded before the deadline.",
    FailureCode
);
words_of!(
    AccountType,
    "Type of the account, as the gateway reports it.",
    PayeeAccountType
);
words_of!(
    PendingReason,
    "Why the validation has no outcome yet. `QUEUED`: no worker has tried it. `AWAITING_GATEWAY_RESULT`: the gateway reports the outcome later. `CHECKING_PREVIOUS_ATTEMPT`: the response to a call was lost and is looked up. `RETRYING`: the last attempt failed for a temporary reason. `GATEWAY_UNAVAILABLE`: most calls to the gateway fail. `RATE_LIMITED`: a quota is used up. `OUTSIDE_GATEWAY_HOURS`: the gateway accepts calls at other hours. `NO_GATEWAY_AVAILABLE`: no gateway of yours can validate these details now.",
    WaitReason
);
words!(
    Category,
    "Who can correct the error.",
    ["USER_ERROR", "CONFIG_ERROR", "API_ERROR"]
);
words!(
    CustomerAccountObject,
    "Always `customer_account`.",
    ["customer_account"]
);
words!(
    BankAccountObject,
    "Always `bank_account`.",
    ["bank_account"]
);
words!(CustomerObject, "Always `customer`.", ["customer"]);
words!(ListObject, "Always `list`.", ["list"]);

/// Pairs of strings.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({ "order": "A-17" }))]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct Metadata(std::collections::BTreeMap<String, String>);
