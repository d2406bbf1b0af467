alter table validations drop column failed_steps;
