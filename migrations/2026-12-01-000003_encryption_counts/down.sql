drop table encryption_counts;
