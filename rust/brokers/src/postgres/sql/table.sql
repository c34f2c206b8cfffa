
-- Changes of {name} are events.
DO $do$
DECLARE
    published regclass := {literal};
    identity "char" := (SELECT relreplident FROM pg_catalog.pg_class WHERE oid = published);
BEGIN
    -- Without an identity, PostgreSQL refuses each UPDATE and DELETE of a table that is published.
    IF identity = 'n' OR identity = 'd' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_index WHERE indrelid = published AND indisprimary
    ) THEN
        RAISE EXCEPTION 'the table % has no primary key', published
            USING HINT = format('Add one, or run ALTER TABLE %s REPLICA IDENTITY FULL.', published);
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_publication_rel
        JOIN pg_catalog.pg_publication ON pg_publication.oid = prpubid
        WHERE pubname = 'fraiseql_subs' AND prrelid = published
    ) THEN
        EXECUTE format('ALTER PUBLICATION fraiseql_subs ADD TABLE %s', published);
    END IF;
END
$do$;
