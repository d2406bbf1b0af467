alter table validations
    drop constraint pending_reason_is_known,
    add constraint pending_reason_is_known check (pending_reason in ('QUEUED', 'AWAITING_GATEWAY_RESULT',
        'CHECKING_PREVIOUS_ATTEMPT', 'RETRYING', 'GATEWAY_UNAVAILABLE', 'RATE_LIMITED', 'OUTSIDE_GATEWAY_HOURS',
        'BUDGET_EXHAUSTED', 'NO_GATEWAY_AVAILABLE')) not valid;
alter table merchants add column fail_on_name_mismatch boolean not null default false;
update merchants set fail_on_name_mismatch = true where fail_names_below > 0;
alter table merchants drop column fail_names_below, drop column review_names_below;
