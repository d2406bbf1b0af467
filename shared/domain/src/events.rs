//! Events: the changes of an account that Khata reports to its merchant (contract, *Events and merchant webhooks*), and their
//! deliveries to the merchant's webhook endpoints.

use crate::MerchantId;

pub use crate::ids::{EndpointId, EventId};

words! {
    /// Kind of change of an account or of a webhook endpoint: the `event_name` of an event.
    EventName {
        /// A call stored the account.
        Created = "CUSTOMER_ACCOUNT_CREATED",
        /// A gateway accepted the call and reports the outcome later, or a new validation began.
        Pending = "CUSTOMER_ACCOUNT_PENDING",
        /// A gateway confirmed the details.
        Active = "CUSTOMER_ACCOUNT_ACTIVE",
        /// The details could not be validated.
        Failure = "CUSTOMER_ACCOUNT_FAILURE",
        /// The merchant deleted the account.
        Deleted = "CUSTOMER_ACCOUNT_DELETED",
        /// Another value of the account changed, and its status did not.
        Updated = "CUSTOMER_ACCOUNT_UPDATED",
        /// Khata makes no more calls to an endpoint; the merchant's other endpoints get the event.
        EndpointDisabled = "WEBHOOK_ENDPOINT_DISABLED",
        /// Test of an endpoint, which alone gets the event.
        EndpointTest = "WEBHOOK_ENDPOINT_TEST",
    }
}

impl EventName {
    /// Whether the event reports a change of an account; otherwise it is about an endpoint.
    pub fn is_of_account(self) -> bool {
        !matches!(self, Self::EndpointDisabled | Self::EndpointTest)
    }
}

words! {
    /// State of the delivery of an event to an endpoint.
    DeliveryState {
        /// Another attempt follows.
        Open = "OPEN",
        /// The endpoint accepted it.
        Delivered = "DELIVERED",
        /// No attempt follows.
        GivenUp = "GIVEN_UP",
    }
}

words! {
    /// Cause that disabled an endpoint.
    DisabledBy {
        /// A call of the merchant.
        Merchant = "MERCHANT",
        /// A command of an operator.
        Operator = "OPERATOR",
        /// No call succeeded for too long.
        Failing = "FAILING",
        /// The endpoint replied 410.
        Gone = "GONE",
    }
}

/// A merchant's endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "diesel", derive(diesel::QueryableByName))]
pub struct EndpointKey {
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = merchant_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub merchant: MerchantId,
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = endpoint_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub id: EndpointId,
}

words! {
    /// How much of the account an event holds.
    Payload {
        /// The account as the replies of the API show it.
        Full = "FULL",
        /// The account with masked numbers and addresses, and without names, UTR and metadata.
        Masked = "MASKED",
        /// Ids, status and version.
        Thin = "THIN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountStatus;

    #[test]
    fn each_status_has_the_event_of_its_name() {
        for status in AccountStatus::ALL {
            let name = format!("CUSTOMER_ACCOUNT_{status}");
            assert!(EventName::parse(&name).is_some(), "{name}");
        }
    }
}
