-- Bounds of what a merchant's keys may spend: a sliding window of validations of the same account, and a daily budget.

alter table merchants
    -- Penny drops per day that the merchant's calls may start; the day begins at midnight in India.
    add column penny_drops_per_day integer not null default 10000
        constraint penny_drops_per_day_in_range check (penny_drops_per_day between 0 and 1000000000);

-- The first half of a fingerprint is equal for all spellings of one account, so that the indexes that begin with merchant
-- and fingerprint find every account that counts for the limit. No index is added, and no insert writes more than before.
alter table customer_accounts
    -- Times of the validations after the first one in the last 24 hours; the first one began at created_at.
    add column revalidated_at timestamptz[],
    -- The count of a fixed window; no release has used it.
    drop column velocity_since,
    drop column velocity_count;

create table penny_drop_counts (
    merchant_id uuid not null,
    -- The day in India.
    day date not null,
    -- Penny drops that calls of this day may make: one for each validation, one for each further attempt.
    drops integer not null constraint drops_are_not_negative check (drops >= 0),
    primary key (merchant_id, day)
-- A row changes with every batch. Postgres prunes its old versions only from a page that it considers full.
) with (fillfactor = 10);
-- For the deletion of old days.
create index penny_drop_counts_by_day on penny_drop_counts (day);
