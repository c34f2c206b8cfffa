
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
REVOKE ALL ON FUNCTION fraiseql_subs.begin_source(text) FROM PUBLIC;
REVOKE ALL ON TABLE fraiseql_subs.sources FROM PUBLIC;
