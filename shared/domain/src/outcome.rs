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
        /// The account is closed.
        AccountClosed = "ACCOUNT_CLOSED",
        /// The account is frozen, by a court or an authority for example.
        AccountFrozen = "ACCOUNT_FROZEN",
        /// The account is dormant: the bank stops accounts without transactions for two years.
        AccountDormant = "ACCOUNT_DORMANT",
        /// The account is blocked, or the gateway does not say whether it is blocked, frozen or closed.
        AccountBlocked = "ACCOUNT_BLOCKED",
        /// A non-resident (NRE) account: real, but unable to receive a penny drop.
        NreAccount = "NRE_ACCOUNT",
        /// The account has reached a limit of its bank, so that it takes no credit now.
        LimitReached = "LIMIT_REACHED",
        /// The bank or the account does not take IMPS, by which penny drops are paid.
        ImpsNotEnabled = "IMPS_NOT_ENABLED",
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
    /// Returns the sentences for `validation.failure.reason`: the reason, and what the payee can do.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidAccount => {
                "The bank does not know this account number. Check the number against the passbook or a cheque."
            }
            Self::InvalidIfsc => {
                "The bank does not know this IFSC. Look up the IFSC of the branch in the passbook or on a cheque: it may have changed in a merger."
            }
            Self::AccountClosed => "The account is closed. Give another account.",
            Self::AccountFrozen => {
                "The account is frozen. Ask the bank to release it, or give another account."
            }
            Self::AccountDormant => {
                "The account is dormant. Ask the bank to activate it, or give another account."
            }
            Self::AccountBlocked => {
                "The account is blocked, frozen or closed. Ask the bank why, or give another account."
            }
            Self::NreAccount => {
                "The account is a non-resident (NRE) account, which cannot receive a penny drop. Give a resident (or NRO) account."
            }
            Self::LimitReached => {
                "The account has reached a limit of its bank and takes no credit now. Validate it again on another day, ask the bank to raise the limit, or give another account."
            }
            Self::ImpsNotEnabled => {
                "The bank takes no IMPS transfer to this account by this IFSC. Look up the IFSC, which changes when banks merge; ask the bank to enable IMPS, or give another account."
            }
            Self::InvalidVpa => "The UPI address does not exist. Check the address in the UPI app.",
            Self::SuspectedFraud => {
                "The gateway suspects fraud or has blocked this account. Give another account, or ask the merchant's support."
            }
            Self::NameMismatch => {
                "The account's holder has another name than the beneficiary. Give the name as the bank has it, or an account of your own."
            }
            Self::ValidationUnavailable => {
                "No gateway could give an answer in time. This says nothing about the account; validate it again."
            }
            Self::AttemptsExhausted => {
                "No gateway could decide with the penny drops allowed for one validation. This says nothing about the account; validate it again later."
            }
        }
    }
}
