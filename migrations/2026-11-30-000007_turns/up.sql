-- Validations are taken in turns by merchant, and awaited ones first.
--
-- No release has run on the schema yet, so the indexes are built in place.

-- By merchant, so that the backlog of one merchant is not read to find the due validations of the others. A claim changes no
-- column of an index or of its condition, so a claim stays a heap-only update.
drop index validations_open;
create index validations_open on validations (merchant_id, due_at) where completed_at is null;
-- Those that have waited: their next step comes before the first step of others. Most validations never enter it.
create index validations_waited on validations (merchant_id, due_at) where pending_reason is not null;
-- Those that a caller waits for; the calls that wait now are its last entries.
create index validations_awaited on validations (awaited_until) where completed_at is null and awaited_until is not null;
