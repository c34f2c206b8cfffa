-- One transaction: all of it is done, or nothing.
BEGIN;
-- Names and operators are those of PostgreSQL: any role may have made others in "public".
SET LOCAL search_path = pg_catalog, pg_temp;
-- Transactions that wait for a lock hold up others.
SET LOCAL lock_timeout = '10s';

