-- The schema of fraiseql-subs, version 2. Needs PostgreSQL 14 or later, and a role that may create a
-- schema in this database. It may be run again: then it changes what differs.

-- What is there already is used only if nobody made it who could gain by that: who runs this calls it,
-- and so do others, with the privileges of its owner.
DO $do$
DECLARE
    me oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
    home oid;
    schema_owner oid;
    strange text;
BEGIN
    SELECT oid, nspowner INTO home, schema_owner FROM pg_namespace WHERE nspname = 'fraiseql_subs';
    IF NOT FOUND THEN
        -- An error if another role makes it in this moment.
        CREATE SCHEMA fraiseql_subs;
        RETURN;
    END IF;
    IF NOT pg_has_role(schema_owner, 'USAGE') THEN
        RAISE EXCEPTION 'the schema fraiseql_subs belongs to %, so % cannot change it',
            schema_owner::regrole, me::regrole
            USING ERRCODE = 'insufficient_privilege', HINT = 'Let an administrator run this.';
    END IF;
    IF schema_owner <> me AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = schema_owner) THEN
        RAISE EXCEPTION 'the schema fraiseql_subs belongs to %, which is neither % nor a superuser',
            schema_owner::regrole, me::regrole
            USING ERRCODE = 'insufficient_privilege', HINT = format(
                'If %1$s has prepared the database on purpose, run this as %1$s. If not, look at the schema, and drop it.',
                schema_owner::regrole);
    END IF;
    strange := (
        SELECT string_agg(format('%s of %s', object.name, object.owner::regrole), ', ')
        FROM (
            SELECT format('function %s', oid::regprocedure), proowner
                FROM pg_proc WHERE pronamespace = home
            UNION ALL SELECT format('relation %s', oid::regclass), relowner
                FROM pg_class WHERE relnamespace = home
            UNION ALL SELECT format('type %s', oid::regtype), typowner
                FROM pg_type WHERE typnamespace = home AND typrelid = 0 AND typelem = 0
            UNION ALL SELECT format('operator %s', oid::regoperator), oprowner
                FROM pg_operator WHERE oprnamespace = home
            UNION ALL SELECT format('trigger %I, and its function, on %s', tgname, tgrelid::regclass), proowner
                FROM pg_trigger
                JOIN pg_class ON pg_class.oid = tgrelid
                JOIN pg_proc ON pg_proc.oid = tgfoid
                WHERE relnamespace = home
        ) AS object (name, owner)
        JOIN pg_roles ON pg_roles.oid = object.owner
        WHERE object.owner <> ALL (ARRAY[me, schema_owner])
            AND NOT rolsuper
    );
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION 'the schema fraiseql_subs has objects of other roles: %', strange
            USING ERRCODE = 'insufficient_privilege', HINT = 'Look at them, and drop them.';
    END IF;
END
$do$;
COMMENT ON SCHEMA fraiseql_subs IS
    'fraiseql-subs: publishes events, see fraiseql_subs.publish';
REVOKE ALL ON SCHEMA fraiseql_subs FROM PUBLIC;

CREATE OR REPLACE FUNCTION fraiseql_subs.version() RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS 'SELECT 2';

-- One text in the head of an envelope: its length and its bytes; byte ff if there is none.
CREATE OR REPLACE FUNCTION fraiseql_subs.envelope_text(name text, value text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    bytes bytea := convert_to(value, 'UTF8');
BEGIN
    IF value IS NULL THEN
        RETURN '\xff';
    END IF;
    IF octet_length(bytes) > 254 THEN
        RAISE EXCEPTION 'fraiseql_subs.publish: % has % bytes', name, octet_length(bytes)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass 254 bytes at most.';
    END IF;
    RETURN set_byte('\x00', 0, octet_length(bytes)) || bytes;
END
$function$;

-- Builds an event as nodes write it.
CREATE OR REPLACE FUNCTION fraiseql_subs.envelope(
    channel text, data jsonb, tenant_id text, event_type text, event_id text
) RETURNS bytea
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    milliseconds bytea := int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    -- The publisher may have set it, as the header of W3C Trace Context.
    trace text[] := regexp_match(
        current_setting('fraiseql_subs.traceparent', true),
        '^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$'
    );
    head bytea;
    envelope bytea;
BEGIN
    IF channel IS NULL OR channel = '' THEN
        RAISE EXCEPTION 'fraiseql_subs.publish: the channel is missing'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass a text such as ''orders''.';
    END IF;
    IF data IS NULL THEN
        RAISE EXCEPTION 'fraiseql_subs.publish: data is NULL'
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Pass ''null''::jsonb for an event without data.';
    END IF;
    head := fraiseql_subs.envelope_text('event_id', event_id)
        || fraiseql_subs.envelope_text('event_type', event_type)
        || fraiseql_subs.envelope_text('tenant_id', tenant_id)
        || fraiseql_subs.envelope_text('channel', channel);
    -- Numbers of an envelope have their least significant byte first.
    FOR place IN REVERSE 7..0 LOOP
        head := head || substring(milliseconds FROM place + 1 FOR 1);
    END LOOP;
    -- The publishing node: unknown.
    head := head || '\x00000000'::bytea;
    IF trace IS NOT NULL THEN
        -- Without a tracestate.
        head := head || decode(array_to_string(trace, ''), 'hex') || '\xff'::bytea;
    END IF;
    envelope := CASE WHEN trace IS NULL THEN '\x0100'::bytea ELSE '\x0104'::bytea END
        || set_byte(set_byte('\x0000', 0, octet_length(head) & 255), 1, octet_length(head) >> 8)
        || head
        || convert_to(data::text, 'UTF8');
    IF octet_length(envelope) > 1048576 THEN
        RAISE EXCEPTION 'fraiseql_subs.publish: the event has % bytes', octet_length(envelope)
            USING ERRCODE = 'program_limit_exceeded',
                HINT = 'Pass 1048576 bytes at most: publish a key, and read the rest from a table.';
    END IF;
    RETURN envelope;
END
$function$;

-- What the nodes have revoked, until the clock of the server says that it is over.
CREATE TABLE IF NOT EXISTS fraiseql_subs.revocations (
    digest bytea PRIMARY KEY,
    entry bytea NOT NULL,
    expires_at timestamptz NOT NULL
);

-- For the nodes: stores an entry. Returns false if as many are stored as may be.
CREATE OR REPLACE FUNCTION fraiseql_subs.revoke(new_entry bytea, milliseconds bigint, maximum bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- Ten years at most.
    expiry timestamptz := clock_timestamp()
        + least(milliseconds, 315360000000) * interval '1 millisecond';
BEGIN
    LOCK TABLE fraiseql_subs.revocations IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM fraiseql_subs.revocations WHERE expires_at <= clock_timestamp();
    UPDATE fraiseql_subs.revocations SET expires_at = greatest(expires_at, expiry)
        WHERE digest = sha256(new_entry);
    IF FOUND THEN
        RETURN true;
    END IF;
    INSERT INTO fraiseql_subs.revocations (digest, entry, expires_at)
        SELECT sha256(new_entry), new_entry, expiry
        WHERE (SELECT count(*) FROM fraiseql_subs.revocations) < maximum;
    RETURN FOUND;
END
$function$;

-- For the nodes: all entries, each with its remaining time in milliseconds.
CREATE OR REPLACE FUNCTION fraiseql_subs.current_revocations()
RETURNS TABLE (entry bytea, milliseconds bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT revocations.entry,
        ceil(extract(epoch FROM revocations.expires_at - clock_timestamp()) * 1000)::bigint
    FROM fraiseql_subs.revocations
    WHERE revocations.expires_at > clock_timestamp()
$function$;
