-- The scheduler reads due validations, expired leases and awaited validations by merchant, however many others there are.
--
-- No release has run on the schema yet, so the indexes are built in place.

-- With the id, so that a scheduler can continue among many validations that are due at the same moment.
drop index validations_open;
create index validations_open on validations (merchant_id, due_at, id) where completed_at is null;
-- By merchant; its first entry of a merchant says whether a caller waits for one.
drop index validations_awaited;
create index validations_awaited on validations (merchant_id, awaited_until desc)
    where completed_at is null and awaited_until is not null;
-- Without completed validations, also if a service completes one that does not know of queues.
drop index validations_queued;
create index validations_queued on validations (merchant_id, queued_gateway_account_id, queue_rank, created_at)
    where queued_gateway_account_id is not null and completed_at is null;
