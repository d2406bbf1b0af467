//! The findings of the checks, and their rules.

use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use khata_domain::{AccountId, EventId, ValidationId, events::EndpointId};

use crate::column::{Column, row};

khata_domain::words! {
    /// A rule that a row breaks.
    Rule {
        /// An account's newest validation does not exist.
        AccountWithoutValidation = "account-without-validation",
        /// An account's status is not what the outcome of its newest validation makes it.
        StatusDiffers = "status-differs",
        /// A validation's account does not exist.
        ValidationWithoutAccount = "validation-without-account",
        /// A completed validation, which no deletion cancelled, has an attempt that is not settled.
        UnfinishedAttempt = "unfinished-attempt",
        /// An attempt's validation does not exist.
        AttemptWithoutValidation = "attempt-without-validation",
        /// An attempt cannot be found at its gateway by a reference.
        AttemptWithoutReference = "attempt-without-reference",
        /// A lease expired, and no scheduler takes the validation back.
        LeaseExpired = "lease-expired",
        /// A validation is due, and no worker claims it.
        DueAndNotClaimed = "due-and-not-claimed",
        /// Ten steps in a row failed.
        SetAside = "set-aside",
        /// A delivery is due, and no worker makes its attempt.
        DeliveryNotAttempted = "delivery-not-attempted",
        /// An account's versions have no events.
        EventMissing = "event-missing",
        /// The positions of events count the transactions of another cluster.
        EventClock = "event-clock",
        /// The budget counted fewer penny drops than began.
        DropsNotCounted = "drops-not-counted",
        /// The keyring does not decrypt a value.
        Undecryptable = "undecryptable",
        /// A rupee of a gateway's statement belongs to no attempt.
        RupeeWithoutAttempt = "rupee-without-attempt",
        /// A gateway's statement has a rupee of an attempt that cannot have paid by its result.
        RupeeOfUnpaidAttempt = "rupee-of-unpaid-attempt",
        /// A gateway's statement has a rupee that no row reversed, of an attempt that did not end VALID. No rule is broken: gateways may
        /// keep the rupee, or reverse it later.
        RupeeKept = "rupee-kept",
        /// A gateway's statement has several rupees under one reference.
        RupeesOfOneReference = "rupees-of-one-reference",
        /// A gateway's statement has no rupee of an attempt that paid.
        AttemptWithoutRupee = "attempt-without-rupee",
    }
}

impl Rule {
    /// Whether a row of this kind is worth knowing, and breaks nothing.
    pub fn is_information(self) -> bool {
        self == Self::RupeeKept
    }
}

impl Column for Rule {
    type Sql = Text;
}

row! {
    /// A row that breaks a rule, with the ids by which it is found again.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Found {
        pub rule: Rule,
        pub account: Option<AccountId>,
        pub validation: Option<ValidationId>,
        /// Number of the attempt.
        pub number: Option<i16>,
        pub event: Option<EventId>,
        pub endpoint: Option<EndpointId>,
        /// Since when the row is as it is.
        pub since: Option<DateTime<Utc>>,
        /// The facts that do not fit together. No personal data.
        pub detail: String,
    }
}

impl Found {
    /// Returns a finding without a row.
    pub fn new(rule: Rule, detail: String) -> Self {
        Self {
            rule,
            account: None,
            validation: None,
            number: None,
            event: None,
            endpoint: None,
            since: None,
            detail,
        }
    }
}
