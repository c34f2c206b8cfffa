
-- The slots that keep the log for a cluster over another engine, also when they are lost.
CREATE TABLE IF NOT EXISTS fraiseql_subs.sources (slot text PRIMARY KEY);

-- For the nodes: notes a slot that is about to be made. Returns whether it is made for the first time.
CREATE OR REPLACE FUNCTION fraiseql_subs.begin_source(new_slot text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    INSERT INTO fraiseql_subs.sources (slot) VALUES (new_slot) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$function$;

-- How the tables were when the reader of the slot looked last.
ALTER TABLE fraiseql_subs.sources ADD COLUMN IF NOT EXISTS tables text;

-- For the nodes: returns it, and notes it. Returns false if the slot is not noted.
CREATE OR REPLACE FUNCTION fraiseql_subs.source_tables(of_slot text) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'SELECT max(sources.tables) FROM fraiseql_subs.sources WHERE sources.slot = of_slot';

CREATE OR REPLACE FUNCTION fraiseql_subs.note_source_tables(of_slot text, seen text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    UPDATE fraiseql_subs.sources SET tables = seen WHERE sources.slot = of_slot;
    RETURN FOUND;
END
$function$;
