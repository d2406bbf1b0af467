//! Published words of the API alone: enums of the OpenAPI document.

use khata_domain::events::{DeliveryState, Payload};
use khata_present::named_schema;
use khata_present::schema::enum_of;

named_schema! {
    pub(crate) Category = enum_of("Who can correct the error.", ["USER_ERROR", "CONFIG_ERROR", "API_ERROR"]);
    pub(crate) BankBranchObject = enum_of("Always `bank_branch`.", ["bank_branch"]);
    pub(crate) BankAccountObject = enum_of("Always `bank_account`.", ["bank_account"]);
    pub(crate) CustomerObject = enum_of("Always `customer`.", ["customer"]);
    pub(crate) WebhookEndpointObject = enum_of("Always `webhook_endpoint`.", ["webhook_endpoint"]);
    pub(crate) WebhookDeliveryObject = enum_of("Always `webhook_delivery`.", ["webhook_delivery"]);
    pub(crate) EventReplayObject = enum_of("Always `event_replay`.", ["event_replay"]);
    pub(crate) PayloadWord = enum_of("How much of the account an event holds.", Payload::ALL.iter().map(|one| one.as_str()));
    pub(crate) DeliveryStateWord = enum_of("`OPEN`: another attempt follows. `DELIVERED`: the endpoint accepted it. `GIVEN_UP`: no attempt follows.", DeliveryState::ALL.iter().map(|one| one.as_str()));
    pub(crate) ListObject = enum_of("Always `list`.", ["list"]);
}
