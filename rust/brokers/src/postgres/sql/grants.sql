
COMMENT ON FUNCTION fraiseql_subs.publish(text, jsonb, text, text, text) IS
    'Publishes an event to the subscribers of a channel when the transaction commits';

-- Functions may be executed by every role until that is revoked.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fraiseql_subs FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA fraiseql_subs FROM PUBLIC;

-- Roles that were nodes before may execute what is new.
DO $do$
DECLARE
    node regrole;
BEGIN
    FOR node IN
        SELECT DISTINCT granted.grantee
        FROM pg_catalog.pg_proc, pg_catalog.aclexplode(proacl) AS granted
        WHERE pg_proc.oid = 'fraiseql_subs.version()'::regprocedure
            AND granted.grantee NOT IN (0, proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fraiseql_subs TO %s', node);
    END LOOP;
END
$do$;
