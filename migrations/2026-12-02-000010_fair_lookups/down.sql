drop index validations_queued;
create index validations_queued on validations (merchant_id, queued_gateway_account_id, queue_rank, created_at)
    where queued_gateway_account_id is not null;
drop index validations_awaited;
create index validations_awaited on validations (awaited_until) where completed_at is null and awaited_until is not null;
drop index validations_open;
create index validations_open on validations (merchant_id, due_at) where completed_at is null;
