-- Validations are taken in turns by merchant, and awaited ones first.
--
-- No release has run on the schema yet, so the indexes are built in place.

-- By merchant, so that the backlog of one merchant is not read to find the due validations of the others. A claim changes no
-- column of an index or of its condition, so a claim stays a heap-only update.
drop index validations_open;
create index validations_open on validations (merchant_id, due_at) where completed_at is null;
-- Validations that have waited: their next step comes before the first step of others. Most validations never enter the index.
create index validations_waited on validations (merchant_id, due_at) where pending_reason is not null;
-- Validations that a caller waits for; the last entries of the index are awaited now.
create index validations_awaited on validations (awaited_until) where completed_at is null and awaited_until is not null;
