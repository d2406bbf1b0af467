-- The foundation: merchants, their customers and accounts, and the validations of accounts.
--
-- Rules (see ../README.md): merchant_id is the first column of every primary and unique key; CHECK constraints hold the
-- state machines; the application encrypts personal data, which is bytea here. The busy tables have no foreign keys:
-- their rows are written with ids found in the same transaction, the rows they refer to are never deleted, and a
-- key-share lock on the customer's row for each of its accounts would be a write to that row.

create table merchants (
    id uuid primary key,
    name text not null unique check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    -- Whether `create accounts` registers an unknown customer reference.
    implicit_customers boolean not null default true,
    -- Seconds after which an unfinished validation fails as VALIDATION_UNAVAILABLE.
    validation_deadline_seconds integer not null default 172800
        check (validation_deadline_seconds between 60 and 2592000),
    created_at timestamptz not null default now()
);

create table api_keys (
    merchant_id uuid not null references merchants (id),
    id uuid not null,
    key_hash bytea not null check (octet_length(key_hash) = 32),
    prefix text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (merchant_id, id)
);
-- A request names its merchant only by its key. Not unique, so that every unique key begins with the merchant: the hash
-- of 256 random bits cannot repeat.
create index api_keys_by_hash on api_keys (key_hash);

create table gateway_accounts (
    merchant_id uuid not null references merchants (id),
    id uuid not null,
    gateway_id smallint not null,
    reference_id text not null check (length(reference_id) between 1 and 128),
    -- Lower is called first.
    priority smallint not null default 100,
    -- Used only by requests that name this gateway.
    pinned_only boolean not null default false,
    enabled boolean not null default true,
    base_url text,
    sealed_credentials bytea,
    settings jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (merchant_id, id),
    unique (merchant_id, gateway_id, reference_id)
);

create table customers (
    merchant_id uuid not null,
    id uuid not null,
    object_reference_id text not null check (length(object_reference_id) between 1 and 128),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (merchant_id, id),
    unique (merchant_id, object_reference_id)
);

create table customer_accounts (
    merchant_id uuid not null,
    customer_id uuid not null,
    id uuid not null,
    kind text not null check (kind in ('BANK', 'UPI')),
    sealed_details bytea not null,
    -- HMAC-SHA-256 over merchant and details: finds equal details without decryption.
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- The form that operators and logs may see: XXXXXXX1191, as***@okhdfcbank.
    masked text not null,
    bank_code text,
    status text not null check (status in ('CREATED', 'PENDING', 'ACTIVE', 'FAILURE', 'DELETED')),
    pinned_gateway_id smallint,
    pinned_gateway_reference_id text,
    metadata jsonb not null default '{}',
    consent jsonb,
    routing_id text,
    -- The newest validation: the only one whose outcome may change the status.
    validation_id uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_validated_at timestamptz,
    deleted_at timestamptz,
    primary key (merchant_id, id),
    constraint deleted_has_a_time check ((status = 'DELETED') = (deleted_at is not null)),
    constraint reference_needs_gateway check (pinned_gateway_reference_id is null or pinned_gateway_id is not null),
    constraint active_was_validated check (status <> 'ACTIVE' or last_validated_at is not null)
) with (fillfactor = 75);
-- No index contains `status`, so that a change of status is a heap-only update; `deleted_at` marks live accounts.
create unique index customer_accounts_live on customer_accounts (merchant_id, customer_id, fingerprint)
    where deleted_at is null;
create index customer_accounts_of_customer on customer_accounts (merchant_id, customer_id, id)
    where deleted_at is null;

create table validations (
    merchant_id uuid not null,
    id uuid not null,
    account_id uuid not null,
    -- DUE: a worker may claim it now. LEASED: a worker holds it. WAITING: becomes due at due_at. COMPLETED: final.
    state text not null check (state in ('DUE', 'LEASED', 'WAITING', 'COMPLETED')),
    -- When the scheduler takes this row, unless a worker claims it before. DUE: the wake-up was lost, publish another;
    -- WAITING: make it DUE and publish a wake-up; LEASED: rescue it if leased_until has passed too.
    due_at timestamptz not null,
    deadline_at timestamptz not null,
    lease_token uuid,
    leased_until timestamptz,
    -- Number of attempts so far: the number of the newest row in validation_attempts.
    attempts smallint not null default 0 check (attempts >= 0),
    trace_parent text,
    outcome text check (outcome in ('VALID', 'INVALID', 'REVIEW', 'UNAVAILABLE', 'CANCELLED')),
    failure_code text,
    failure_reason text,
    -- The newest attempt, for the merchant to see.
    gateway_id smallint,
    gateway_reference_id text,
    method text check (method in ('PENNY_DROP', 'PENNILESS', 'VPA_LOOKUP')),
    -- Name at bank, UTR and account type.
    sealed_result bytea,
    name_match_score smallint check (name_match_score between 0 and 100),
    created_at timestamptz not null,
    completed_at timestamptz,
    primary key (merchant_id, id),
    constraint leased_has_a_lease check (
        (state = 'LEASED') = (lease_token is not null) and (lease_token is null) = (leased_until is null)),
    constraint completed_has_an_outcome check (
        (state = 'COMPLETED') = (completed_at is not null) and (completed_at is null) = (outcome is null)),
    constraint failure_has_a_code check (
        (outcome is not null and outcome in ('INVALID', 'REVIEW', 'UNAVAILABLE')) = (failure_code is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
-- The scheduler reads this index; a claim changes no column of it, so a claim is a heap-only update.
create index validations_open on validations (due_at) where completed_at is null;

create table validation_attempts (
    merchant_id uuid not null,
    validation_id uuid not null,
    number smallint not null check (number > 0),
    gateway_account_id uuid not null,
    gateway_id smallint not null,
    method text not null check (method in ('PENNY_DROP', 'PENNILESS', 'VPA_LOOKUP')),
    -- Khata's reference, committed before the call: the idempotency key or reference id at the gateway.
    reference text not null,
    -- Why the routing chose this gateway.
    choice text not null,
    -- STARTED: the call may have been made. UNKNOWN: it was made and its response is lost; recover it before any other
    -- call. PENDING: the gateway reports the outcome later. SETTLED: the attempt has ended.
    state text not null check (state in ('STARTED', 'UNKNOWN', 'PENDING', 'SETTLED')),
    class text check (class in ('VALID', 'INVALID', 'PENDING', 'RETRYABLE', 'INCONCLUSIVE', 'MISCONFIGURED', 'REVIEW')),
    -- The gateway's own code.
    code text,
    -- The gateway's id for the call.
    gateway_reference text,
    polls smallint not null default 0,
    -- Milliseconds of the newest call.
    latency_ms integer,
    -- The attempt before this one was lost and could not be looked up: it may have dropped a rupee too.
    possible_double_drop boolean not null default false,
    started_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (merchant_id, validation_id, number),
    constraint settled_has_a_class check (
        (state = 'SETTLED') = (settled_at is not null) and (state <> 'SETTLED' or class is not null))
) with (fillfactor = 75);

create table audit_log (
    merchant_id uuid not null,
    id uuid not null,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    subject text not null,
    detail jsonb not null default '{}',
    primary key (merchant_id, id)
);
