
COMMENT ON FUNCTION fraiseql_subs.publish(text, jsonb, text, text, text) IS
    'Publishes an event to the subscribers of a channel when the transaction commits';

-- Functions may be executed by every role until that is revoked.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fraiseql_subs FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA fraiseql_subs FROM PUBLIC;

-- Roles that were nodes or publishers before may execute what is new. Only nodes revoke.
DO $do$
DECLARE
    member record;
    called regprocedure;
BEGIN
    FOR member IN
        SELECT granted.grantee::regrole AS role, bool_or(proname = 'revoke') AS is_node
        FROM pg_proc, aclexplode(proacl) AS granted
        WHERE pronamespace = 'fraiseql_subs'::regnamespace AND proname IN ('revoke', 'publish')
            AND granted.grantee NOT IN (0, proowner)
        GROUP BY granted.grantee
    LOOP
        IF member.is_node THEN
            EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fraiseql_subs TO %s', member.role);
        END IF;
        FOR called IN
            SELECT oid FROM pg_proc
            WHERE pronamespace = 'fraiseql_subs'::regnamespace
                AND proname IN ('version', 'form', 'publish_envelopes', 'publish_events')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', called, member.role);
        END LOOP;
    END LOOP;
END
$do$;

-- All has one owner, as functions run with its privileges: also if another administrator runs this.
DO $do$
DECLARE
    home oid := 'fraiseql_subs'::regnamespace;
    owner oid := (SELECT nspowner FROM pg_namespace WHERE oid = home);
    foreign_object text;
BEGIN
    FOR foreign_object IN
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = home AND proowner <> owner
        UNION ALL
        SELECT format('TABLE %s', oid::regclass) FROM pg_class
        WHERE relnamespace = home AND relkind IN ('r', 'p') AND relowner <> owner
    LOOP
        EXECUTE format('ALTER %s OWNER TO %s', foreign_object, owner::regrole);
    END LOOP;
END
$do$;
