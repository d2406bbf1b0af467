-- What an API key may do. The keys that exist may do everything, as before.
alter table api_keys
    add column scope text not null default 'ADMIN'
        constraint scope_is_known check (scope in ('READ', 'CREATE', 'ADMIN'));
