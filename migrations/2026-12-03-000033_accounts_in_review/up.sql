-- Accounts that wait for a person's decision about the holder's name, by merchant and age.
--
-- No release has run on the schema yet, so the index is built in place. An outcome is set once, when `completed_at` leaves the index of
-- open validations anyway.
create index validations_in_review on validations (merchant_id, completed_at)
    where outcome = 'REVIEW' and failure_code = 'NAME_MISMATCH';
