//! Classes of gateway responses, and outcomes of validations.

words! {
    /// Meaning of a gateway's response for the account (gateways contract, the outcome classes).
    Class {
        /// The account or VPA exists.
        Valid = "VALID",
        /// The bank or PSP rejects the details for good.
        Invalid = "INVALID",
        /// The gateway accepted the call and reports the outcome later.
        Pending = "PENDING",
        /// A temporary failure that says nothing about the account.
        Retryable = "RETRYABLE",
        /// This gateway cannot decide.
        Inconclusive = "INCONCLUSIVE",
        /// The gateway rejects our credentials, balance, IP address or feature.
        Misconfigured = "MISCONFIGURED",
        /// Suspected fraud, or a blocked account.
        Review = "REVIEW",
    }
}

impl Class {
    /// Whether the response decides about the account.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Valid | Self::Invalid | Self::Review)
    }
}

words! {
    /// How a validation ended.
    Outcome {
        /// The details are real.
        Valid = "VALID",
        /// The bank or PSP rejected the details.
        Invalid = "INVALID",
        /// Suspected fraud or a blocked account, or a holder's name about which a person decides.
        Review = "REVIEW",
        /// No gateway decided before the deadline.
        Unavailable = "UNAVAILABLE",
        /// The merchant deleted the account meanwhile.
        Cancelled = "CANCELLED",
    }
}

impl Outcome {
    /// Whether a gateway decided about the account.
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Valid | Self::Invalid | Self::Review)
    }
}

words! {
    /// Why an account failed, independent of the gateway (`validation.failure.code`).
    FailureCode {
        /// The bank does not know the account.
        InvalidAccount = "INVALID_ACCOUNT",
        /// The bank does not know the branch.
        InvalidIfsc = "INVALID_IFSC",
        /// The account is blocked, frozen or closed.
        AccountBlocked = "ACCOUNT_BLOCKED",
        /// A non-resident (NRE) account: real, but unable to receive a penny drop.
        NreAccount = "NRE_ACCOUNT",
        /// The PSP does not know the address.
        InvalidVpa = "INVALID_VPA",
        /// The gateway suspects fraud or blocks the account.
        SuspectedFraud = "SUSPECTED_FRAUD",
        /// The account is real, its holder has a different name, and the merchant treats that as a failure.
        NameMismatch = "NAME_MISMATCH",
        /// No gateway decided before the deadline; says nothing about the account.
        ValidationUnavailable = "VALIDATION_UNAVAILABLE",
        /// No gateway decided within the paid attempts that the merchant allows; says nothing about the account.
        AttemptsExhausted = "ATTEMPTS_EXHAUSTED",
    }
}

impl FailureCode {
    /// Returns the sentence for `validation.failure.reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidAccount => "The bank does not know this account number.",
            Self::InvalidIfsc => "The bank does not know this IFSC.",
            Self::AccountBlocked => "The account is blocked, frozen or closed.",
            Self::NreAccount => {
                "The account is a non-resident (NRE) account, which cannot receive a penny drop."
            }
            Self::InvalidVpa => "The UPI address does not exist.",
            Self::SuspectedFraud => "The gateway suspects fraud or has blocked this account.",
            Self::NameMismatch => "The account's holder has another name than the beneficiary.",
            Self::ValidationUnavailable => {
                "No gateway could give an answer in time. This says nothing about the account; validate it again."
            }
            Self::AttemptsExhausted => {
                "No gateway could decide with the penny drops allowed for one validation. This says nothing about the account; validate it again later."
            }
        }
    }
}
