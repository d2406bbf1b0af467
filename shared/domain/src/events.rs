//! Events: the changes of an account that Khata reports to its merchant (contract, *Events and merchant webhooks*).

pub use crate::ids::EventId;

words! {
    /// Kind of change of an account: the `event_name` of an event.
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
    }
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
