-- How many values each encryption key has encrypted, in all processes: AES-GCM permits 2^32 for one key. Of no merchant.
create table encryption_counts (
    key_id bigint primary key,
    -- At least the number of encryptions: a process counts some in advance.
    encryptions bigint not null constraint encryptions_are_not_negative check (encryptions >= 0)
) with (fillfactor = 50);
