drop table penny_drop_counts;
alter table customer_accounts
    drop column revalidated_at,
    add column velocity_since timestamptz not null default now(),
    add column velocity_count smallint not null default 1;
alter table merchants drop column penny_drops_per_day;
