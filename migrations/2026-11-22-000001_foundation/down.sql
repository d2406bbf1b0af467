drop table audit_log;
drop table validation_attempts;
drop table validations;
drop table customer_accounts;
drop table customers;
drop table gateway_accounts;
drop table api_keys;
drop table merchants;
