-- Removes what the installation has made. Nodes that are running lose their engine.
DROP PUBLICATION IF EXISTS fraiseql_subs;
DROP SCHEMA IF EXISTS fraiseql_subs CASCADE;
