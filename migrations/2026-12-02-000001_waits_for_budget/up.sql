-- A validation that needs another penny drop waits for the budget of the next day.
--
-- No release has run on the schema yet, so the workers may write the new word at once.

alter table validations
    drop constraint pending_reason_is_known,
    add constraint pending_reason_is_known check (pending_reason in ('QUEUED', 'AWAITING_GATEWAY_RESULT',
        'CHECKING_PREVIOUS_ATTEMPT', 'RETRYING', 'GATEWAY_UNAVAILABLE', 'RATE_LIMITED', 'OUTSIDE_GATEWAY_HOURS',
        'BUDGET_EXHAUSTED', 'NO_GATEWAY_AVAILABLE')) not valid;
