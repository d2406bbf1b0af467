-- Validations that wait until a gateway account can take their calls. A worker whose call has ended claims the next one.
--
-- No release has run on the schema yet, so the index is built in place.

alter table validations
    -- The gateway account; null: does not wait for one. Most validations never change it.
    add column queued_gateway_account_id uuid,
    -- 0: a caller waits for the outcome. 1: the next call of an unfinished attempt. 2: a new attempt.
    add column queue_rank smallint,
    add constraint queue_has_a_rank check ((queued_gateway_account_id is null) = (queue_rank is null)) not valid,
    add constraint queue_rank_is_known check (queue_rank between 0 and 2) not valid;

create index validations_queued on validations (merchant_id, queued_gateway_account_id, queue_rank, created_at)
    where queued_gateway_account_id is not null;
