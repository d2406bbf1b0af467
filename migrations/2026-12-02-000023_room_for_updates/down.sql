alter table customer_accounts set (fillfactor = 75);
alter table validations set (fillfactor = 70);
alter table validation_attempts set (fillfactor = 75);
