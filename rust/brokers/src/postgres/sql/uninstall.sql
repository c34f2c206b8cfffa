-- Removes what the installation has made, and nothing else. Nodes that are running lose their engine.
DO $do$
DECLARE
    made regprocedure;
    of_others text;
BEGIN
    FOR made IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = to_regnamespace('fraiseql_subs')::oid AND proname IN (
            'begin_epoch', 'begin_source', 'current_revocations', 'emit', 'envelope', 'envelope_text',
            'form', 'has_position', 'last_message', 'maintain_outbox', 'note_source_tables', 'open_outbox',
            'outbox_horizon',
            'publish', 'publish_envelopes', 'publish_events', 'publishing', 'put', 'read_messages',
            'read_outbox', 'read_stream', 'renew_outbox', 'revoke', 'send_message', 'sleeping',
            'source_tables', 'version'
        )
    LOOP
        EXECUTE format('DROP FUNCTION %s', made);
    END LOOP;
    DROP TABLE IF EXISTS fraiseql_subs.messages, fraiseql_subs.outbox, fraiseql_subs.outbox_marks,
        fraiseql_subs.outbox_state, fraiseql_subs.revocations, fraiseql_subs.sources;
    DROP SCHEMA IF EXISTS fraiseql_subs;
EXCEPTION WHEN dependent_objects_still_exist THEN
    GET STACKED DIAGNOSTICS of_others = PG_EXCEPTION_DETAIL;
    RAISE EXCEPTION 'other objects need the schema fraiseql_subs: %', of_others
        USING ERRCODE = 'dependent_objects_still_exist', HINT = 'Drop them, or move them, before.';
END
$do$;
DROP PUBLICATION IF EXISTS fraiseql_subs;
-- Slots that keep the log for a cluster over another engine. A slot that a node uses is an error, which
-- changes nothing: end the nodes before. Last, as a slot that was dropped does not come back by a rollback.
DO $do$
DECLARE
    slots text[];
    name text;
    process integer;
    gone text[] := '{}';
    reason text;
BEGIN
    FOR name, process IN
        SELECT slot_name, active_pid FROM pg_replication_slots
        WHERE slot_name IN ({slots}) AND database = current_database() ORDER BY slot_name
    LOOP
        IF process IS NOT NULL THEN
            RAISE EXCEPTION 'replication slot "%" is active for process %', name, process
                USING ERRCODE = 'object_in_use', HINT = 'End the nodes before.';
        END IF;
        slots := slots || name;
    END LOOP;
    FOREACH name IN ARRAY coalesce(slots, '{}') LOOP
        PERFORM pg_drop_replication_slot(name);
        gone := gone || name;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    IF gone = '{}' THEN
        RAISE;
    END IF;
    GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
    RAISE EXCEPTION '%', reason USING ERRCODE = SQLSTATE, HINT = format(
        'These replication slots were dropped before that, and are gone: %s. Run this again.',
        array_to_string(gone, ', '));
END
$do$;
