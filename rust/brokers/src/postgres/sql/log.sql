
-- The log form: an event is a message in the log of PostgreSQL.
DO $do$
BEGIN
    IF to_regclass('fraiseql_subs.outbox') IS NOT NULL THEN
        IF NOT {switch} THEN
            RAISE EXCEPTION 'the database is prepared with an outbox, whose events a change would drop'
                USING HINT = 'Add --outbox to keep it. To change to the log, add --switch: end all programs before.';
        END IF;
        RAISE WARNING 'fraiseql_subs: the form changes from outbox to log; the events of the outbox are gone'
            USING HINT = 'Start the servers without outbox=true.';
        DROP TABLE fraiseql_subs.outbox, fraiseql_subs.outbox_state, fraiseql_subs.outbox_marks,
            fraiseql_subs.messages;
        DROP FUNCTION fraiseql_subs.put(text, text, text, bytea);
        DROP FUNCTION fraiseql_subs.publish_events(text[], text[], text[], bytea[]);
        DROP FUNCTION fraiseql_subs.outbox_horizon();
        DROP FUNCTION fraiseql_subs.sleeping();
        DROP FUNCTION fraiseql_subs.publishing();
        DROP FUNCTION fraiseql_subs.open_outbox();
        DROP FUNCTION fraiseql_subs.begin_epoch();
        DROP FUNCTION fraiseql_subs.has_position(bigint, integer);
        DROP FUNCTION fraiseql_subs.renew_outbox(bigint, bigint, integer);
        DROP FUNCTION fraiseql_subs.read_outbox(bigint, integer, integer, bigint, bigint);
        DROP FUNCTION fraiseql_subs.read_stream(
            text, text, boolean, bigint, integer, integer, bigint, bigint
        );
        DROP FUNCTION fraiseql_subs.maintain_outbox(interval);
        DROP FUNCTION fraiseql_subs.read_messages(bigint);
        DROP FUNCTION fraiseql_subs.last_message();
    END IF;
END
$do$;

CREATE OR REPLACE FUNCTION fraiseql_subs.form() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$SELECT 'log'$$;

DO $do$
BEGIN
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE WARNING 'fraiseql_subs: wal_level is %, so nothing can be published', current_setting('wal_level')
            USING HINT = 'Set wal_level = logical, and restart PostgreSQL.';
    END IF;
END
$do$;

-- Writes an event into the log.
CREATE OR REPLACE FUNCTION fraiseql_subs.emit(envelope bytea) RETURNS pg_lsn
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION 'fraiseql_subs.publish: wal_level is %, so the event would reach no subscriber',
            current_setting('wal_level')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Set wal_level = logical, and restart PostgreSQL.';
    END IF;
    RETURN pg_logical_emit_message(true, 'fs1', envelope);
END
$function$;

-- Publishes an event when the transaction commits, and never if it is rolled back.
CREATE OR REPLACE FUNCTION fraiseql_subs.publish(
    channel text,
    data jsonb,
    tenant_id text DEFAULT NULL,
    event_type text DEFAULT NULL,
    event_id text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM fraiseql_subs.emit(
        fraiseql_subs.envelope(channel, data, tenant_id, event_type, event_id)
    );
END
$function$;

-- For nodes and publishers: publishes envelopes, and returns where each is in the log.
CREATE OR REPLACE FUNCTION fraiseql_subs.publish_envelopes(envelopes bytea[]) RETURNS SETOF pg_lsn
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT fraiseql_subs.emit(envelope) FROM unnest(envelopes) AS envelope
$function$;

-- For the nodes: sends a message to the nodes.
CREATE OR REPLACE FUNCTION fraiseql_subs.send_message(message bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT pg_logical_emit_message(true, 'fs1.control', message)
$function$;

-- The tables whose changes are events; none at first. All changes, of partitions by their table.
DO $do$
DECLARE
    owner oid := (SELECT pubowner FROM pg_publication WHERE pubname = 'fraiseql_subs');
BEGIN
    IF owner IS NULL THEN
        CREATE PUBLICATION fraiseql_subs WITH (publish_via_partition_root = true);
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_roles WHERE oid = owner AND (
            rolsuper OR rolname = current_user
            OR oid = (SELECT nspowner FROM pg_namespace WHERE nspname = 'fraiseql_subs')
        )
    ) THEN
        RAISE EXCEPTION 'the publication fraiseql_subs belongs to %', owner::regrole
            USING ERRCODE = 'insufficient_privilege', HINT = 'Look at it, and drop it.';
    END IF;
    IF NOT (
        SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot
        FROM pg_publication WHERE pubname = 'fraiseql_subs'
    ) THEN
        ALTER PUBLICATION fraiseql_subs
            SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);
    END IF;
END
$do$;
