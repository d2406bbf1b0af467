-- The record of a call that creates accounts names them and has no reply: the reply shows them as they were created, and is
-- rendered again. A service that does not know the column shows their current state.
alter table idempotency_records
    add column as_created boolean not null default false;
