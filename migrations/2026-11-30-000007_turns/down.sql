drop index validations_awaited;
drop index validations_waited;
drop index validations_open;
create index validations_open on validations (due_at) where completed_at is null;
