-- The whole merchant API: customers with contact data, idempotent calls, calls that wait for an outcome, and limits
-- on how often one may call and how often one account may be paid.
--
-- No release has run on the foundation yet, so the indexes are built in place.

alter table merchants
    -- Requests a second that one API key may make, in each khata-api process, and as many at once.
    add column requests_per_second integer not null default 500
        constraint requests_per_second_in_range check (requests_per_second between 1 and 1000000),
    -- Validations that the same details may have in 24 hours, whichever of the merchant's customers they stand with.
    add column validations_per_account_per_day smallint not null default 5
        constraint validations_per_account_per_day_in_range check (validations_per_account_per_day > 0);

alter table customers
    -- Telephone number, e-mail address and name, as the merchant gave them.
    add column sealed_contact bytea;

alter table customer_accounts
    -- Validations asked for since velocity_since; after 24 hours the count begins anew.
    add column velocity_since timestamptz not null default now(),
    add column velocity_count smallint not null default 1;

-- The same uniqueness with the details before the customer, so that all that a merchant knows of the same details is
-- found too: validations are limited by details, not by customer.
create unique index customer_accounts_live_by_details
    on customer_accounts (merchant_id, fingerprint, customer_id) where deleted_at is null;
drop index customer_accounts_live;
-- Deleting an account and storing it again does not begin a new count. No insert touches this index.
create index customer_accounts_deleted_by_details
    on customer_accounts (merchant_id, fingerprint) where deleted_at is not null;

alter table validations
    -- A call waits for the outcome until then: who completes it tells (channel khata_outcomes).
    add column awaited_until timestamptz;

create table idempotency_records (
    merchant_id uuid not null,
    -- HMAC-SHA-256 of the Idempotency-Key: a merchant may have put anything into it.
    key_hash bytea not null check (octet_length(key_hash) = 32),
    -- HMAC-SHA-256 of method, path and body.
    request_hash bytea not null check (octet_length(request_hash) = 32),
    -- Body of the first answer; null while that call waits for an outcome.
    sealed_answer bytea,
    -- What to answer with where the first call died while it waited: these accounts, in this form.
    account_ids uuid[] not null default '{}',
    answer_form text check (answer_form in ('ACCOUNT', 'LIST', 'BANK_ACCOUNT')),
    -- A call without an answer has died if it is later than this.
    running_until timestamptz not null,
    expires_at timestamptz not null,
    primary key (merchant_id, key_hash),
    constraint unanswered_has_a_form check (sealed_answer is not null or answer_form is not null)
);
create index idempotency_records_by_expiry on idempotency_records (expires_at);
