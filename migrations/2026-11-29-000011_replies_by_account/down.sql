alter table idempotency_records drop column as_created;
