-- Several gateways: what all workers know of each gateway account, what gateways call back with, and merchants' rules
-- on names and on results that are asked for again.

alter table merchants
    -- Whether an account whose holder has quite another name fails.
    add column fail_on_name_mismatch boolean not null default false,
    -- How old a result of the same details may be to be used again; 0: never.
    add column reuse_results_seconds integer not null default 0
        constraint reuse_results_seconds_in_range check (reuse_results_seconds between 0 and 31536000);

alter table customer_accounts
    -- The newest validation whose outcome a gateway told: what may be used again. In no index.
    add column told_validation_id uuid;

alter table validations
    -- A gateway is to be asked, however young an earlier result is.
    add column fresh boolean not null default false,
    -- Whose result this one is.
    add column reused_from uuid,
    -- The gateway's own score, beside ours in name_match_score.
    add column gateway_name_match_score smallint
        constraint gateway_name_match_score_in_range check (gateway_name_match_score between 0 and 100),
    -- A gateway has called back since the row was last claimed. In no index: setting it is a heap-only update.
    add column called_back boolean not null default false,
    -- A call at that gateway account is booked for that time.
    add column slot_gateway_account_id uuid,
    add column slot_at timestamptz,
    add constraint slot_has_both check ((slot_at is null) = (slot_gateway_account_id is null));

alter table validation_attempts
    -- The gateway's code stands in none of our tables.
    add column unlisted_code boolean not null default false;

-- A call-back names its gateway account and no merchant.
create index gateway_accounts_by_id on gateway_accounts (id);

-- What the workers know of a gateway account together: one row each, written by whoever learns something.
create table gateway_states (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    -- Calls that were and were not of use lately; both decay, as of counted_at.
    served double precision not null default 0 check (served >= 0),
    failed double precision not null default 0 check (failed >= 0),
    counted_at timestamptz not null default now(),
    -- CLOSED: calls pass. OPEN: none does until open_until, then one at a time, to see.
    circuit text not null default 'CLOSED' check (circuit in ('CLOSED', 'OPEN')),
    open_until timestamptz,
    -- How often it opened without having closed in between.
    trips smallint not null default 0 check (trips >= 0),
    -- When the last call was let through to see.
    probed_at timestamptz,
    -- The gateway asked us to stay away until then.
    paused_until timestamptz,
    -- When the limit of calls a minute has room again, for all calls that are made and booked.
    next_call_at timestamptz,
    -- Why it refuses us, since when; cleared by the first call that it does not refuse.
    misconfigured_code text,
    misconfigured_since timestamptz,
    primary key (merchant_id, gateway_account_id),
    constraint open_has_an_end check ((circuit = 'OPEN') = (open_until is not null)),
    constraint misconfigured_has_a_code check ((misconfigured_code is null) = (misconfigured_since is null))
) with (fillfactor = 50);

-- How the gateway accounts fare by bank (first four letters of the IFSC) or UPI handle; decaying, as of counted_at.
create table gateway_scores (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    bank text not null check (length(bank) between 1 and 64),
    told double precision not null check (told >= 0),
    failed double precision not null check (failed >= 0),
    -- From the attempt's beginning to its outcome, in milliseconds; moves with each.
    latency_ms double precision,
    counted_at timestamptz not null,
    primary key (merchant_id, gateway_account_id, bank)
) with (fillfactor = 70);
create index gateway_scores_by_age on gateway_scores (counted_at);

-- Calls that each worker has in hand at gateway accounts that take only so many at once. A row that is not written any
-- more is a dead worker's, whose leases run out likewise.
create table gateway_calls_in_hand (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    worker_id uuid not null,
    calls integer not null check (calls >= 0),
    written_at timestamptz not null,
    primary key (merchant_id, gateway_account_id, worker_id)
) with (fillfactor = 50);

-- Where an attempt is found by the gateway's own id, for those that call back with nothing else.
create table gateway_references (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    gateway_reference text not null,
    validation_id uuid not null,
    number smallint not null,
    created_at timestamptz not null default now(),
    primary key (merchant_id, gateway_account_id, gateway_reference)
);
create index gateway_references_by_age on gateway_references (created_at);

-- What gateways have called back with about attempts that are not settled yet.
create table gateway_notices (
    merchant_id uuid not null,
    -- SHA-256 of gateway account and call-back: the same one again changes nothing.
    digest bytea not null check (octet_length(digest) = 32),
    validation_id uuid not null,
    number smallint not null,
    -- The outcome, sealed for the account; null: there is one, and it is to be asked for.
    sealed_answer bytea,
    received_at timestamptz not null default now(),
    primary key (merchant_id, digest)
);
create index gateway_notices_of_validation on gateway_notices (merchant_id, validation_id);
create index gateway_notices_by_age on gateway_notices (received_at);
