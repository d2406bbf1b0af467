-- The code before asks no person about a name: it would have left these accounts ACTIVE.
with reviewed as (
    update validations set outcome = 'VALID', failure_code = null, failure_reason = null
    where outcome = 'REVIEW' and failure_code = 'NAME_MISMATCH'
    returning merchant_id, id, account_id
)
update customer_accounts a set status = 'ACTIVE', updated_at = now()
from reviewed r
where a.merchant_id = r.merchant_id and a.id = r.account_id and a.validation_id = r.id and a.status = 'PENDING';
alter table validations
    drop constraint pending_reason_is_known,
    add constraint pending_reason_is_known check (pending_reason in ('QUEUED', 'AWAITING_GATEWAY_RESULT',
        'CHECKING_PREVIOUS_ATTEMPT', 'RETRYING', 'GATEWAY_UNAVAILABLE', 'RATE_LIMITED', 'OUTSIDE_GATEWAY_HOURS',
        'BUDGET_EXHAUSTED', 'NO_GATEWAY_AVAILABLE')) not valid;
alter table merchants add column fail_on_name_mismatch boolean not null default false;
update merchants set fail_on_name_mismatch = true where fail_names_below > 0;
alter table merchants drop column fail_names_below, drop column review_names_below;
