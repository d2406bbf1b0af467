-- Events: the changes of accounts that Khata reports to merchants, and their deliveries to the merchants' webhook endpoints. The
-- transaction that makes a change writes its event and the deliveries.
--
-- No release has run on the schema yet, so the services may write the new columns at once.

-- Postgres numbers transactions; the numbers begin again in another cluster. `khata migrate` raises the base where they did, so that
-- later events stay behind earlier ones.
create table event_clock (
    is_only boolean primary key default true check (is_only),
    -- The cluster whose transactions it counts.
    cluster_id bigint not null,
    base bigint not null default 0 constraint base_is_not_negative check (base >= 0)
);
insert into event_clock (cluster_id) select system_identifier from pg_control_system();
alter table customer_accounts
    -- Number of the last change that an event reports; 1: CREATED.
    add column version integer not null default 1,
    -- The position of that event.
    add column event_position bigint not null default 0,
    -- The URL that the call named for the account's events, and the endpoint that it belongs to. Null: it named none.
    add column sealed_webhook_url bytea;
alter table merchants
    -- Days for which events and their deliveries are kept: longer than the attempts of a delivery, which end after 75 hours.
    add column event_days smallint not null default 30
        constraint event_days_in_range check (event_days between 4 and 365);
create table events (
    merchant_id uuid not null,
    id uuid not null,
    -- The base of the clock and the number of the transaction, or the position of the account's event before, if that is greater. An
    -- event becomes visible to readers when no transaction with a number up to its position runs any more: none can appear before it
    -- later, and the events of an account appear in the order of their versions.
    position bigint not null,
    -- The account, or the webhook endpoint.
    subject_id uuid not null,
    version integer not null,
    name text not null,
    created_at timestamptz not null,
    -- W3C trace context of the account's trace.
    trace_parent text,
    -- The columns of the account and of its newest validation that later changes overwrite, as the event left them.
    status text,
    last_validated_at timestamptz,
    pinned_gateway_id smallint,
    pinned_gateway_reference_id text,
    -- Null: the account had no validation to show.
    validation_id uuid,
    attempts smallint,
    gateway_id smallint,
    gateway_reference_id text,
    method text,
    failure_code text,
    pending_reason text,
    due_at timestamptz,
    completed_at timestamptz,
    primary key (merchant_id, id)
);
-- Equal positions share an entry, so that the index is small. A page of events sorts those of its transactions.
create index events_in_order on events (merchant_id, position);
create table webhook_endpoints (
    merchant_id uuid not null,
    id uuid not null,
    -- As merchants and operators see it. The sealed settings have the one that is called.
    url text not null,
    -- URL, secrets and credentials.
    sealed_settings bytea not null,
    -- Names of the events that it gets; empty: all.
    event_names text[] not null default '{}',
    payload text not null constraint payload_is_known check (payload in ('FULL', 'MASKED', 'THIN')),
    -- Whether the events of an account are delivered in the order of their versions.
    is_ordered boolean not null default true,
    -- Calls at once, and per second; null: no limit.
    concurrency smallint not null constraint concurrency_in_range check (concurrency between 1 and 256),
    calls_per_second integer constraint calls_per_second_in_range check (calls_per_second between 1 and 10000),
    -- Whether calls that create accounts may name another URL of its host for the events of the account.
    allows_url_per_account boolean not null default false,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    disabled_at timestamptz,
    disabled_by text constraint disabled_by_is_known check (disabled_by in ('MERCHANT', 'OPERATOR', 'FAILING', 'GONE')),
    -- Deleted; housekeeping deletes the deliveries.
    deleted_at timestamptz,
    -- The worker that makes the calls; others take over after this time.
    owner_id uuid,
    owned_until timestamptz,
    -- The first failed call since the last success.
    failing_since timestamptz,
    last_success_at timestamptz,
    primary key (merchant_id, id),
    constraint disabled_has_a_reason check ((disabled_at is null) = (disabled_by is null)),
    constraint deleted_is_disabled check (deleted_at is null or disabled_at is not null),
    constraint owner_has_an_end check ((owner_id is null) = (owned_until is null))
-- The owner writes the row often.
) with (fillfactor = 25);
-- A receiver that reads an endpoint's public keys has the id alone.
create index webhook_endpoints_by_id on webhook_endpoints (id);
create table webhook_deliveries (
    merchant_id uuid not null,
    endpoint_id uuid not null,
    -- Subject and version of the event: the key also finds the deliveries before it.
    subject_id uuid not null,
    version integer not null,
    event_id uuid not null,
    -- OPEN: an attempt follows at due_at. DELIVERED, GIVEN_UP: final, unless the event is replayed.
    state text not null constraint delivery_state_is_known check (state in ('OPEN', 'DELIVERED', 'GIVEN_UP')),
    due_at timestamptz not null,
    -- Number of attempts, also of those before a replay.
    attempts smallint not null default 0,
    -- Failed attempts since the first one or the replay, and when that began.
    failures smallint not null default 0,
    failing_since timestamptz,
    -- When the attempt in progress began; null: there is none.
    started_at timestamptz,
    -- Body of the attempts, kept once one has failed: later ones send the same bytes.
    sealed_body bytea,
    -- The attempt that delivered it: HTTP status, milliseconds and the start of the reply.
    status smallint,
    latency_ms integer,
    sealed_reply bytea,
    -- Whether the newest call that ended went to the account's own URL; null: none has ended.
    to_account_url boolean,
    created_at timestamptz not null,
    delivered_at timestamptz,
    primary key (merchant_id, endpoint_id, subject_id, version),
    constraint delivered_has_a_time check ((state = 'DELIVERED') = (delivered_at is not null))
) with (fillfactor = 60);
create index webhook_deliveries_open on webhook_deliveries (merchant_id, endpoint_id, due_at) where state = 'OPEN';
-- Attempts that failed.
create table webhook_attempts (
    merchant_id uuid not null,
    endpoint_id uuid not null,
    subject_id uuid not null,
    version integer not null,
    number smallint not null,
    event_id uuid not null,
    started_at timestamptz not null,
    -- The reply's status; null: there was none.
    status smallint,
    failure text not null,
    latency_ms integer,
    sealed_reply bytea,
    -- Whether the call went to the account's own URL; null: the attempt made no call.
    to_account_url boolean,
    primary key (merchant_id, endpoint_id, subject_id, version, number)
);
