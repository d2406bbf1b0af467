//! Deliberate faults, for `make mutants`, which shows that the checks of a chaos run find each of them. Only the feature
//! `mutants` of this crate makes them possible; the variable `KHATA_MUTANT` then chooses one. Without the feature each question
//! is the constant `false`, and no program reads the variable.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!(
    "the feature `mutants` is for debug builds: a release must not contain deliberate faults"
);

/// Returns whether this fault is on.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn is_on(_: Mutant) -> bool {
    false
}

/// Returns whether this fault is on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is_on(mutant: Mutant) -> bool {
    std::env::var("KHATA_MUTANT").is_ok_and(|name| name == mutant.name())
}

/// A fault, named for what it leaves out or does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A settlement does not ask whether its lease still holds.
    UnfencedSettlement,
    /// No wake-up is published for validations whose time has come.
    NoScheduler,
    /// Expired leases stay.
    NoRescue,
    /// After a lost response another attempt is made at once, and is not flagged.
    NoRecovery,
    /// An attempt after a lost one is not flagged.
    NoFlag,
    /// A call that is sent again has another reference.
    NewReference,
    /// A settlement overwrites a deletion.
    RevivedAccount,
    /// A change is stored without its event now and then, as if a second transaction wrote the event.
    LostEvent,
    /// The record of an idempotent call is not written.
    LostRecord,
    /// The cursor does not wait for transactions that may write an earlier event.
    EagerCursor,
    /// A reply says that nothing was stored although the commit's result is not known.
    FalseRejection,
    /// A later attempt of a delivery has another body.
    ChangedBody,
    /// Deliveries of an account do not wait for each other.
    UnorderedDeliveries,
    /// A delivery counts as delivered for every reply of the endpoint.
    AnyReplyDelivers,
}

impl Mutant {
    /// Returns the value of `KHATA_MUTANT` for this fault.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnfencedSettlement => "unfenced-settlement",
            Self::NoScheduler => "no-scheduler",
            Self::NoRescue => "no-rescue",
            Self::NoRecovery => "no-recovery",
            Self::NoFlag => "no-flag",
            Self::NewReference => "new-reference",
            Self::RevivedAccount => "revived-account",
            Self::LostEvent => "lost-event",
            Self::LostRecord => "lost-record",
            Self::EagerCursor => "eager-cursor",
            Self::FalseRejection => "false-rejection",
            Self::ChangedBody => "changed-body",
            Self::UnorderedDeliveries => "unordered-deliveries",
            Self::AnyReplyDelivers => "any-reply-delivers",
        }
    }
}
