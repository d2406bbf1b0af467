-- Bounds of what one validation may cost, and when a call was last made.

alter table merchants
    -- Seconds for which a lost response is looked up before another gateway account may move a second rupee.
    add column recovery_patience_seconds int not null default 120,
    -- Attempts of one validation that may have moved a rupee.
    add column paid_attempts_per_validation smallint not null default 3,
    add constraint recovery_patience_is_bounded check (recovery_patience_seconds between 0 and 172800),
    add constraint paid_attempts_are_bounded check (paid_attempts_per_validation between 1 and 100);

alter table validation_attempts
    -- When the call was made again, because the gateway had not received it; null: made once, at started_at.
    add column sent_at timestamptz;
