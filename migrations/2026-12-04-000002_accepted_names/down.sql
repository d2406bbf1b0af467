alter table customer_accounts drop column accepted_validation_id;
