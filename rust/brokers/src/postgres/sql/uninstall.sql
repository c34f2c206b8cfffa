-- Removes what the installation has made. Nodes that are running lose their engine.
DROP PUBLICATION IF EXISTS fraiseql_subs;
DROP SCHEMA IF EXISTS fraiseql_subs CASCADE;
-- Slots that keep the log for a cluster over another engine. Last, as it is not undone by a rollback.
-- A slot that a node uses is an error, which changes nothing: end the nodes before.
SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
    WHERE slot_name IN ({slots}) AND database = pg_catalog.current_database();
