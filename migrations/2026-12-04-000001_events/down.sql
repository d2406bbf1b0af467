drop table webhook_attempts;
drop table webhook_deliveries;
drop table webhook_endpoints;
drop table events;
alter table merchants drop column event_days;
alter table customer_accounts drop column version, drop column event_position, drop column sealed_webhook_url;
drop table event_clock;
