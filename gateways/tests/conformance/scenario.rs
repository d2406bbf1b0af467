//! The scenarios of the conformance suite.

use std::time::Duration;

/// Delay that the sandbox asks for with status 429.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(7);

macro_rules! scenarios {
    ($($scenario:ident = $name:literal),+ $(,)?) => {
        /// A scenario.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Scenario { $($scenario),+ }

        impl Scenario {
            /// Every scenario, in the order of the summary.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$scenario),+];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$scenario => $name),+ }
            }
        }
    };
}

scenarios! {
    Valid = "valid",
    NameMissing = "valid, no name",
    NameVerified = "valid, name VERIFIED",
    NameNotAvailable = "valid, name NA",
    OtherName = "valid, another's name",
    Invalid = "invalid",
    InvalidRetried = "invalid, retried",
    InvalidIfsc = "invalid IFSC",
    Closed = "closed",
    Blocked = "blocked",
    Nre = "non-resident",
    Fraud = "suspected of fraud",
    Inconclusive = "inconclusive",
    Technical = "technical failure",
    UnknownCode = "unknown code",
    PendingThenValid = "pending, then valid",
    PendingThenInvalid = "pending, then invalid",
    PendingForever = "pending for ever",
    RefusedConnection = "connection refused",
    ErrorBefore = "500 before the work",
    ErrorAfter = "500 after the work",
    Reset = "reset after send",
    Hang = "time-out",
    Malformed = "truncated reply",
    WorkerKilled = "worker killed after send",
    TooMany = "429",
    TooManyRecoveries = "429 to the recovery",
    TooManyPolls = "429 to a poll",
    Credentials = "401",
    CredentialsRevoked = "401 to the recovery",
    IpRejected = "IP not allowed",
    Balance = "insufficient balance",
    Check = "check of credentials",
    Webhook = "webhook",
    ChangedFields = "changed fields",
}

impl Scenario {
    /// Returns the end of the account number, or of the address before its `@`.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::NameMissing => "99009921",
            Self::NameVerified => "99009922",
            Self::NameNotAvailable => "99009923",
            Self::OtherName => "99009924",
            Self::Invalid | Self::InvalidRetried => "99009931",
            Self::InvalidIfsc => "99009932",
            Self::Closed => "99009933",
            Self::Blocked => "99009934",
            Self::Fraud => "99009935",
            Self::Nre => "99009936",
            Self::Inconclusive => "99009941",
            Self::Technical => "99009942",
            Self::PendingThenValid | Self::TooManyPolls => "99009911",
            Self::PendingThenInvalid => "99009912",
            Self::PendingForever => "99009913",
            _ => "10203040",
        }
    }

    /// Whether the gateway works, and only the account or its code is special.
    pub(crate) fn is_outcome(self) -> bool {
        match self {
            Self::Valid | Self::UnknownCode => true,
            Self::TooManyPolls => false,
            _ => self.ending() != Self::Valid.ending(),
        }
    }
}
