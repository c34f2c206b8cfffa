
-- The changes of a table are events.
DO $do$
DECLARE
    published regclass := {table};
    kind "char" := (SELECT relkind FROM pg_class WHERE oid = published::oid);
    identity "char" := (SELECT relreplident FROM pg_class WHERE oid = published::oid);
    -- Its part of the publication. Servers before PostgreSQL 15 have no filters and lists.
    part jsonb := (
        SELECT to_jsonb(rel) FROM pg_publication_rel AS rel
        JOIN pg_publication ON pg_publication.oid = rel.prpubid
        WHERE pubname = 'fraiseql_subs' AND rel.prrelid = published::oid
    );
BEGIN
    IF kind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is not a table', published;
    END IF;
    -- Without an identity, PostgreSQL refuses each UPDATE and DELETE of a table that is published.
    IF identity = 'n' OR identity = 'd' AND NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = published::oid AND indisprimary AND indimmediate
    ) THEN
        RAISE EXCEPTION 'the table % has no primary key, or a deferrable one', published
            USING HINT = format('Add one, or run ALTER TABLE %s REPLICA IDENTITY FULL.', published);
    END IF;
    IF identity <> 'f' THEN
        RAISE WARNING 'fraiseql_subs: a DELETE of % has only its key: if its channel or tenant has another column, run ALTER TABLE % REPLICA IDENTITY FULL', published, published;
    END IF;
    IF coalesce(part ->> 'prqual', part ->> 'prattrs') IS NOT NULL THEN
        RAISE WARNING 'fraiseql_subs: the publication had only some rows or columns of %: it has all now', published;
        EXECUTE format('ALTER PUBLICATION fraiseql_subs DROP TABLE %s', published);
        part := NULL;
    END IF;
    IF part IS NULL THEN
        EXECUTE format('ALTER PUBLICATION fraiseql_subs ADD TABLE %s', published);
    END IF;
END
$do$;
