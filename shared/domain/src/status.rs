//! The status that a merchant sees, and which status may follow which.

words! {
    /// Status of a customer account (contract, *Status*).
    AccountStatus {
        /// Stored; the validation is not complete.
        Created = "CREATED",
        /// A gateway has accepted the call and reports the outcome later.
        Pending = "PENDING",
        /// A gateway confirmed the details.
        Active = "ACTIVE",
        /// The details could not be validated.
        Failure = "FAILURE",
        /// Deleted by the merchant.
        Deleted = "DELETED",
    }
}

impl AccountStatus {
    /// Whether the contract allows `next` to follow. An ACTIVE or FAILURE account becomes PENDING only by a new validation.
    pub fn can_become(self, next: Self) -> bool {
        use AccountStatus::{Active, Created, Deleted, Failure, Pending};
        matches!(
            (self, next),
            (Created, Pending | Active | Failure | Deleted)
                | (Pending, Active | Failure | Deleted)
                | (Active | Failure, Pending | Deleted)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_transitions_of_the_contract_are_allowed() {
        let table = [
            ("CREATED", "PENDING ACTIVE FAILURE DELETED"),
            ("PENDING", "ACTIVE FAILURE DELETED"),
            ("ACTIVE", "PENDING DELETED"),
            ("FAILURE", "PENDING DELETED"),
            ("DELETED", ""),
        ];
        assert_eq!(table.len(), AccountStatus::ALL.len());
        for (status, nexts) in table {
            let status = AccountStatus::parse(status).unwrap();
            for &next in AccountStatus::ALL {
                let expected = nexts.split(' ').any(|word| word == next.as_str());
                assert_eq!(status.can_become(next), expected, "{status} to {next}");
            }
        }
    }

    #[test]
    fn nothing_follows_deleted_and_nothing_returns_to_created() {
        for &status in AccountStatus::ALL {
            assert!(!AccountStatus::Deleted.can_become(status));
            assert!(!status.can_become(AccountStatus::Created));
            assert_eq!(AccountStatus::parse(status.as_str()), Some(status));
        }
    }
}
