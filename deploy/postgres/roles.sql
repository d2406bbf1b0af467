-- Khata's database roles and its database, created once per server. Run it with psql 15 or later, as a superuser or as a role
-- with CREATEROLE and CREATEDB, with the passwords in the environment:
--
--   export POSTGRES_OWNER_PASSWORD=… POSTGRES_API_PASSWORD=… POSTGRES_WORKER_PASSWORD=… POSTGRES_OPERATOR_PASSWORD=…
--   export POSTGRES_SCALER_PASSWORD=…   # only with KEDA
--   psql --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql "postgres://admin@host/postgres"
--
-- "khata migrate", run as khata_owner, creates the tables and grants the other roles their rights; run it again after a role was
-- created. A server whose tables belong to another role keeps that owner: create the other three roles only.
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv api_password POSTGRES_API_PASSWORD
\getenv worker_password POSTGRES_WORKER_PASSWORD
\getenv operator_password POSTGRES_OPERATOR_PASSWORD
\getenv scaler_password POSTGRES_SCALER_PASSWORD

-- Migrates the schema, and nothing else.
create role khata_owner login password :'owner_password';
-- khata-api.
create role khata_api login password :'api_password';
-- khata-worker.
create role khata_worker login password :'worker_password';
-- The operator's commands.
create role khata_operator login password :'operator_password';

-- Only a member of a role can give it a database.
grant khata_owner to current_user;
create database khata owner khata_owner encoding 'UTF8' template template0;
-- No other role of the server may connect. Only the owner can say so: without its rights Postgres would only warn.
revoke connect, temporary on database khata from public;
grant connect on database khata to khata_api, khata_worker, khata_operator;
-- KEDA, which reads how many validations are due.
\if :{?scaler_password}
create role khata_scaler login connection limit 4 password :'scaler_password';
grant connect on database khata to khata_scaler;
\endif
revoke khata_owner from current_user;
