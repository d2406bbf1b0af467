alter table validation_attempts
    -- Fields of the gateway's responses that could not be read, by the names that the connector reads; never their values.
    add column not_understood text[] not null default '{}',
    -- Why the account takes no credit by the gateway's word, also where the gateway does not decide about it.
    add column failure_code text;
