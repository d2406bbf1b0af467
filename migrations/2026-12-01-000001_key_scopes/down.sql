alter table api_keys drop column scope;
