-- The scope of an API key: the calls that it permits. The keys that exist permit every call, as before.
alter table api_keys
    add column scope text not null default 'ADMIN'
        constraint scope_is_known check (scope in ('READ', 'CREATE', 'ADMIN'));
