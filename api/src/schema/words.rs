//! Published words of the API alone: enums of the OpenAPI document.

use khata_present::named_schema;
use khata_present::schema::enum_of;

named_schema! {
    pub(crate) Category = enum_of("Who can correct the error.", ["USER_ERROR", "CONFIG_ERROR", "API_ERROR"]);
    pub(crate) BankBranchObject = enum_of("Always `bank_branch`.", ["bank_branch"]);
    pub(crate) BankAccountObject = enum_of("Always `bank_account`.", ["bank_account"]);
    pub(crate) CustomerObject = enum_of("Always `customer`.", ["customer"]);
    pub(crate) ListObject = enum_of("Always `list`.", ["list"]);
}
