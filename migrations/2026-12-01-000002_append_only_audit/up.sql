-- The audit log only grows. Roles other than the owner have no right to change or delete its lines (shared/store/src/rights.rs);
-- the trigger stops the owner too. The owner can drop the trigger, on purpose only.
create function audit_log_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'audit_log is append-only: its lines cannot be changed or deleted'
        using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_log_is_append_only before update or delete or truncate on audit_log
    for each statement execute function audit_log_is_append_only();
