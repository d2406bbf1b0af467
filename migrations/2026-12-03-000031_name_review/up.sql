-- Merchants choose the results of the name match that fail an account, and those that leave it to a person.
--
-- No release has run on the schema yet, so the old column is replaced at once, and the API may show the new word.

alter table merchants
    -- An account whose names score less than this fails; 0: none does.
    add column fail_names_below smallint not null default 0
        constraint fail_names_below_in_range check (fail_names_below between 0 and 100),
    -- An account whose names score less than this stays PENDING until a person decides; 0: none does.
    add column review_names_below smallint not null default 0
        constraint review_names_below_in_range check (review_names_below between 0 and 100);
-- NO_MATCH is a score below 34.
update merchants set fail_names_below = 34 where fail_on_name_mismatch;
alter table merchants drop column fail_on_name_mismatch;

alter table validations
    drop constraint pending_reason_is_known,
    add constraint pending_reason_is_known check (pending_reason in ('QUEUED', 'AWAITING_GATEWAY_RESULT',
        'CHECKING_PREVIOUS_ATTEMPT', 'RETRYING', 'GATEWAY_UNAVAILABLE', 'RATE_LIMITED', 'OUTSIDE_GATEWAY_HOURS',
        'BUDGET_EXHAUSTED', 'NO_GATEWAY_AVAILABLE', 'NAME_REVIEW')) not valid;
