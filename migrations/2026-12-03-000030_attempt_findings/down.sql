alter table validation_attempts
    drop column not_understood,
    drop column failure_code;
