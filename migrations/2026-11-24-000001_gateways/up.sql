-- Several gateways: the state of gateway accounts that workers share, gateway webhooks, and merchants' settings for name
-- mismatches and for reusing results.

alter table merchants
    -- Whether an account fails if its holder's name does not match.
    add column fail_on_name_mismatch boolean not null default false,
    -- Maximum age of a result that is reused for the same details; 0: never.
    add column reuse_results_seconds integer not null default 0
        constraint reuse_results_seconds_in_range check (reuse_results_seconds between 0 and 31536000);

alter table customer_accounts
    -- The newest validation with a gateway's conclusive result, which may be reused. In no index.
    add column told_validation_id uuid;

alter table validations
    -- Call a gateway even if a recent result could be reused.
    add column fresh boolean not null default false,
    -- The validation whose result this one reuses.
    add column reused_from uuid,
    -- The gateway's own score; Khata's score is name_match_score.
    add column gateway_name_match_score smallint
        constraint gateway_name_match_score_in_range check (gateway_name_match_score between 0 and 100),
    -- A gateway webhook arrived since the last claim. In no index, so that setting it is a heap-only update.
    add column called_back boolean not null default false,
    -- A call is booked at this gateway account for this time.
    add column slot_gateway_account_id uuid,
    add column slot_at timestamptz,
    add constraint slot_has_both check ((slot_at is null) = (slot_gateway_account_id is null));

alter table validation_attempts
    -- The gateway's code is in none of the connector's tables.
    add column unlisted_code boolean not null default false;

-- A gateway webhook names its gateway account and no merchant.
create index gateway_accounts_by_id on gateway_accounts (id);

-- The state of each gateway account, which all workers read and write.
create table gateway_states (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    -- Recent calls with and without a usable response; both decay, as of counted_at.
    served double precision not null default 0 check (served >= 0),
    failed double precision not null default 0 check (failed >= 0),
    counted_at timestamptz not null default now(),
    -- CLOSED: calls pass. OPEN: no call passes until open_until, then one probe at a time.
    circuit text not null default 'CLOSED' check (circuit in ('CLOSED', 'OPEN')),
    open_until timestamptz,
    -- How often the circuit opened since it was last closed.
    trips smallint not null default 0 check (trips >= 0),
    -- Time of the last probe.
    probed_at timestamptz,
    -- End of the pause that the gateway asked for.
    paused_until timestamptz,
    -- When the rate limit admits the next call, after all calls that are made and booked.
    next_call_at timestamptz,
    -- The gateway's code for a wrong configuration and its time; the first accepted call clears them.
    misconfigured_code text,
    misconfigured_since timestamptz,
    primary key (merchant_id, gateway_account_id),
    constraint open_has_an_end check ((circuit = 'OPEN') = (open_until is not null)),
    constraint misconfigured_has_a_code check ((misconfigured_code is null) = (misconfigured_since is null))
) with (fillfactor = 50);

-- Success scores of gateway accounts by bank (first four letters of the IFSC) or UPI handle; they decay, as of counted_at.
create table gateway_scores (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    bank text not null check (length(bank) between 1 and 64),
    told double precision not null check (told >= 0),
    failed double precision not null check (failed >= 0),
    -- Milliseconds from an attempt's start to its outcome, a moving average.
    latency_ms double precision,
    counted_at timestamptz not null,
    primary key (merchant_id, gateway_account_id, bank)
) with (fillfactor = 70);
create index gateway_scores_by_age on gateway_scores (counted_at);

-- Open calls of each worker at gateway accounts that limit concurrent calls. A stopped worker no longer writes its row, and
-- its leases expire too.
create table gateway_calls_in_hand (
    merchant_id uuid not null,
    gateway_account_id uuid not null,
    worker_id uuid not null,
    calls integer not null check (calls >= 0),
    written_at timestamptz not null,
    primary key (merchant_id, gateway_account_id, worker_id)
) with (fillfactor = 50);

-- Finds an attempt by the gateway's own id, for gateways whose webhooks have no other reference.
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

-- Gateway webhooks about attempts that are not settled.
create table gateway_notices (
    merchant_id uuid not null,
    -- SHA-256 of gateway account and webhook: a duplicate changes nothing.
    digest bytea not null check (octet_length(digest) = 32),
    validation_id uuid not null,
    number smallint not null,
    -- The outcome, encrypted for the validation; null: the worker must look it up.
    sealed_answer bytea,
    received_at timestamptz not null default now(),
    primary key (merchant_id, digest)
);
create index gateway_notices_of_validation on gateway_notices (merchant_id, validation_id);
create index gateway_notices_by_age on gateway_notices (received_at);
