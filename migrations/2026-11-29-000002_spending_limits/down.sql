drop table penny_drop_counts;
alter table customer_accounts drop column revalidated_at;
alter table merchants drop column penny_drops_per_day;
