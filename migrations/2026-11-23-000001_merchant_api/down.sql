drop table idempotency_records;
alter table validations drop column awaited_until;
create unique index customer_accounts_live on customer_accounts (merchant_id, customer_id, fingerprint)
    where deleted_at is null;
drop index customer_accounts_deleted_by_details;
drop index customer_accounts_live_by_details;
alter table customer_accounts drop column velocity_count, drop column velocity_since;
alter table customers drop column sealed_contact;
alter table merchants drop column validations_per_account_per_day, drop column requests_per_second;
