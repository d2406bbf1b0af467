//! The state of a validation, and why an unfinished one has no result yet.

words! {
    /// State of a validation, as `validations.state` stores it.
    ValidationState {
        /// A worker may claim it now.
        Due = "DUE",
        /// One worker holds it until its lease expires.
        Leased = "LEASED",
        /// The scheduler makes it due at `due_at`.
        Waiting = "WAITING",
        /// Final.
        Completed = "COMPLETED",
    }
}

impl ValidationState {
    /// Whether the validation has no outcome yet.
    pub fn is_open(self) -> bool {
        self != Self::Completed
    }
}

words! {
    /// Why an unfinished validation has no result yet (`validation.pending_reason`).
    PendingReason {
        /// No worker has tried it yet.
        Queued = "QUEUED",
        /// The gateway accepted the call and reports the outcome later.
        AwaitingGatewayResult = "AWAITING_GATEWAY_RESULT",
        /// The response to a call was lost; the worker finds out what the gateway did before it tries again.
        CheckingPreviousAttempt = "CHECKING_PREVIOUS_ATTEMPT",
        /// The last attempt failed for a temporary reason; the worker tries again.
        Retrying = "RETRYING",
        /// Most calls to the gateway fail; the worker waits until it recovers.
        GatewayUnavailable = "GATEWAY_UNAVAILABLE",
        /// The gateway account's quota is used up, or the gateway asked for a pause.
        RateLimited = "RATE_LIMITED",
        /// The gateway account accepts new calls only at other hours.
        OutsideGatewayHours = "OUTSIDE_GATEWAY_HOURS",
        /// The validation needs another penny drop, and the merchant's penny drops of this day are used up.
        BudgetExhausted = "BUDGET_EXHAUSTED",
        /// No gateway account of the merchant can validate these details now.
        NoGatewayAvailable = "NO_GATEWAY_AVAILABLE",
        /// The details are real, and a person decides about the holder's name. Not stored: a gateway gave its result.
        NameReview = "NAME_REVIEW",
    }
}
