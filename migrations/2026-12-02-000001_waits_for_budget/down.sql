update validations set pending_reason = 'RETRYING' where pending_reason = 'BUDGET_EXHAUSTED';
alter table validations
    drop constraint pending_reason_is_known,
    add constraint pending_reason_is_known check (pending_reason in ('QUEUED', 'AWAITING_GATEWAY_RESULT',
        'CHECKING_PREVIOUS_ATTEMPT', 'RETRYING', 'GATEWAY_UNAVAILABLE', 'RATE_LIMITED', 'OUTSIDE_GATEWAY_HOURS',
        'NO_GATEWAY_AVAILABLE')) not valid;
