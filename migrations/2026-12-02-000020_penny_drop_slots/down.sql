create temporary table counts on commit drop as
    select merchant_id, day, sum(drops)::integer as drops from penny_drop_counts group by merchant_id, day;
delete from penny_drop_counts;
alter table penny_drop_counts
    drop constraint penny_drop_counts_pkey,
    drop column slot,
    add primary key (merchant_id, day);
insert into penny_drop_counts (merchant_id, day, drops) select merchant_id, day, drops from counts;
