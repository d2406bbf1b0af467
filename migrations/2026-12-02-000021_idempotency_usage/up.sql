-- Bytes of the replies that idempotency records keep, so that what a merchant may store is bounded.
create table idempotency_usage (
    merchant_id uuid not null,
    -- The hour in which the replies were stored.
    hour timestamptz not null,
    -- Process id of the connection in Postgres: no transaction waits for the row of another one.
    slot integer not null,
    bytes bigint not null constraint bytes_are_not_negative check (bytes >= 0),
    primary key (merchant_id, hour, slot)
) with (fillfactor = 50);
