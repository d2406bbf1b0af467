-- Why an unfinished validation has no result yet, as merchants see it.

alter table validations
    -- Null before the first attempt and after the end.
    add column pending_reason text,
    -- Not valid: the rows that exist hold null, and a check of all of them would hold the lock for a scan.
    add constraint pending_reason_is_known check (pending_reason in ('QUEUED', 'AWAITING_GATEWAY_RESULT',
        'CHECKING_PREVIOUS_ATTEMPT', 'RETRYING', 'GATEWAY_UNAVAILABLE', 'RATE_LIMITED', 'OUTSIDE_GATEWAY_HOURS',
        'NO_GATEWAY_AVAILABLE')) not valid;
