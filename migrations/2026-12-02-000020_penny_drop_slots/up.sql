-- A transaction that counts penny drops holds one slot of its merchant, so that no transaction waits for the row of another one.
-- Workers, which only count, have a row for each connection.
--
-- No release has run on the schema yet, so the key is built in place.
alter table penny_drop_counts
    -- 0 to 15: a slot of the API. Negative: the process id of a worker's connection in Postgres.
    add column slot integer not null default 0,
    drop constraint penny_drop_counts_pkey,
    add primary key (merchant_id, day, slot);
