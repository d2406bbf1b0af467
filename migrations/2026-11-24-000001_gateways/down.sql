drop table gateway_notices;
drop table gateway_references;
drop table gateway_calls_in_hand;
drop table gateway_scores;
drop table gateway_states;
drop index gateway_accounts_by_id;
alter table validation_attempts drop column unlisted_code;
alter table validations
    drop constraint slot_has_both,
    drop column slot_at,
    drop column slot_gateway_account_id,
    drop column called_back,
    drop column gateway_name_match_score,
    drop column reused_from,
    drop column fresh;
alter table customer_accounts drop column told_validation_id;
alter table merchants
    drop column reuse_results_seconds,
    drop column fail_on_name_mismatch;
