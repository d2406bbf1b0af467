alter table validation_attempts drop column sent_at;
alter table merchants drop column recovery_patience_seconds, drop column paid_attempts_per_validation;
