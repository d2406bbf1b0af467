//! The status a merchant sees, and which status may follow which.

use std::fmt;

/// Status of a customer account (contract, *Status*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// Stored; validation not completed.
    Created,
    /// Waiting for the outcome at a gateway.
    Pending,
    /// A gateway confirmed the details.
    Active,
    /// The details did not validate.
    Failure,
    /// Deleted by the merchant.
    Deleted,
}

impl AccountStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Pending,
        Self::Active,
        Self::Failure,
        Self::Deleted,
    ];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Pending => "PENDING",
            Self::Active => "ACTIVE",
            Self::Failure => "FAILURE",
            Self::Deleted => "DELETED",
        }
    }

    /// The status that this word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the contract lets `next` follow; an ACTIVE or FAILURE account becomes PENDING only by a new validation.
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

impl fmt::Display for AccountStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_table_is_the_whole_truth() {
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
            for next in AccountStatus::ALL {
                let wanted = nexts.split(' ').any(|word| word == next.as_str());
                assert_eq!(status.can_become(next), wanted, "{status} to {next}");
            }
        }
    }

    #[test]
    fn nothing_follows_deleted_and_nothing_returns_to_created() {
        for status in AccountStatus::ALL {
            assert!(!AccountStatus::Deleted.can_become(status));
            assert!(!status.can_become(AccountStatus::Created));
            assert_eq!(AccountStatus::parse(status.as_str()), Some(status));
        }
    }
}
