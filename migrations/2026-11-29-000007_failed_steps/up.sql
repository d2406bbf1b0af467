-- Steps of a validation whose lease expired, since the last settlement. A validation that fails each time is set aside.
alter table validations add column failed_steps smallint not null default 0;
