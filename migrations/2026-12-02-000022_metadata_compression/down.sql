alter table customer_accounts alter column metadata set compression default;
