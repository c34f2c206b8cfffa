
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

-- All has one owner, as functions run with its privileges: also if another administrator runs this.
DO $do$
DECLARE
    home oid := 'fraiseql_subs'::regnamespace;
    owner regrole := (SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid = home);
    foreign_object text;
BEGIN
    FOR foreign_object IN
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_catalog.pg_proc
        WHERE pronamespace = home AND proowner <> owner
        UNION ALL
        SELECT format('TABLE %s', oid::regclass) FROM pg_catalog.pg_class
        WHERE relnamespace = home AND relkind IN ('r', 'p') AND relowner <> owner
    LOOP
        EXECUTE format('ALTER %s OWNER TO %s', foreign_object, owner);
    END LOOP;
END
$do$;
