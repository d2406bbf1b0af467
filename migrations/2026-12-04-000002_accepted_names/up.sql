-- A person's acceptance of the holder's name is remembered.
--
-- No release has run on the schema yet, so the services may write the new column at once.
alter table customer_accounts
    -- The newest validation about whose names a person decided, if the person accepted them.
    add column accepted_validation_id uuid;
