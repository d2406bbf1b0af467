drop index validations_queued;
alter table validations drop column queue_rank, drop column queued_gateway_account_id;
