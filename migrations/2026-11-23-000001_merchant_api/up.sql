-- The merchant API: customers with contact data, idempotent calls, calls that wait for an outcome, rate limits, and a
-- limit of validations per account.
--
-- No release has run on the foundation yet, so the indexes are built in place.

alter table merchants
    -- Maximum requests per second of one API key in each khata-api process, and maximum concurrent ones.
    add column requests_per_second integer not null default 500
        constraint requests_per_second_in_range check (requests_per_second between 1 and 1000000),
    -- Maximum validations of the same details in 24 hours, over all customers of the merchant.
    add column validations_per_account_per_day smallint not null default 5
        constraint validations_per_account_per_day_in_range check (validations_per_account_per_day > 0);

alter table customers
    -- Telephone number, e-mail address and name, as the merchant sent them.
    add column sealed_contact bytea;

alter table customer_accounts
    -- Validations since velocity_since; after 24 hours the count starts again.
    add column velocity_since timestamptz not null default now(),
    add column velocity_count smallint not null default 1;

-- The same uniqueness with the details before the customer, so that the index also finds every account of the merchant
-- with the same details: the limit of validations applies to details, not to customers.
create unique index customer_accounts_live_by_details
    on customer_accounts (merchant_id, fingerprint, customer_id) where deleted_at is null;
drop index customer_accounts_live;
-- Deleting an account and storing it again does not start a new count. No insert touches this index.
create index customer_accounts_deleted_by_details
    on customer_accounts (merchant_id, fingerprint) where deleted_at is not null;

alter table validations
    -- A caller waits for the outcome until then: the completing transaction notifies channel khata_outcomes.
    add column awaited_until timestamptz;

create table idempotency_records (
    merchant_id uuid not null,
    -- HMAC-SHA-256 of the Idempotency-Key, as the key may contain personal data.
    key_hash bytea not null check (octet_length(key_hash) = 32),
    -- HMAC-SHA-256 of method, path and body.
    request_hash bytea not null check (octet_length(request_hash) = 32),
    -- Body of the first reply; null while the call waits for an outcome.
    sealed_answer bytea,
    -- The reply if the first call was interrupted while it waited: these accounts, in this form.
    account_ids uuid[] not null default '{}',
    answer_form text check (answer_form in ('ACCOUNT', 'LIST', 'BANK_ACCOUNT')),
    -- A call without a reply counts as interrupted after this time.
    running_until timestamptz not null,
    expires_at timestamptz not null,
    primary key (merchant_id, key_hash),
    constraint unanswered_has_a_form check (sealed_answer is not null or answer_form is not null)
);
create index idempotency_records_by_expiry on idempotency_records (expires_at);
