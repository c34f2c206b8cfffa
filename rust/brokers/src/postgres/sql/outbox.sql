
-- The outbox form: an event is a row, which nodes read in the order of transactions.
DO $do$
DECLARE
    kept text;
BEGIN
    IF to_regprocedure('fraiseql_subs.publish_envelopes(bytea[])') IS NOT NULL THEN
        IF NOT {switch} THEN
            RAISE EXCEPTION 'the database is prepared without an outbox, for the log'
                USING HINT = 'Leave out --outbox to keep that. To change to an outbox, add --switch: end all programs before.';
        END IF;
        RAISE WARNING 'fraiseql_subs: the form changes from log to outbox; the publication is gone'
            USING HINT = 'Start the servers with outbox=true in the URL of the bus.';
        DROP FUNCTION fraiseql_subs.publish_envelopes(bytea[]);
        DROP FUNCTION IF EXISTS fraiseql_subs.emit(bytea);
        DROP PUBLICATION IF EXISTS fraiseql_subs;
        DROP FUNCTION IF EXISTS fraiseql_subs.begin_source(text);
        DROP FUNCTION IF EXISTS fraiseql_subs.source_tables(text);
        DROP FUNCTION IF EXISTS fraiseql_subs.note_source_tables(text, text);
        IF to_regclass('fraiseql_subs.sources') IS NOT NULL THEN
            FOR kept IN
                SELECT slot_name FROM pg_replication_slots
                JOIN fraiseql_subs.sources ON slot = slot_name WHERE database = current_database()
            LOOP
                RAISE WARNING 'fraiseql_subs: the replication slot % goes on to keep the log', kept
                    USING HINT = format('End the nodes that have a source, and run SELECT pg_drop_replication_slot(%L).', kept);
            END LOOP;
            DROP TABLE fraiseql_subs.sources;
        END IF;
    END IF;
END
$do$;

CREATE OR REPLACE FUNCTION fraiseql_subs.form() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$SELECT 'outbox'$$;

-- The events. Partitions are filled in turn, and the oldest one is truncated: that locks no other one,
-- as DROP would, and needs no partitions ahead.
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox (
    part smallint NOT NULL,
    -- The transaction, an xid8, and the number of the event in it.
    tx bigint NOT NULL,
    n integer NOT NULL CHECK (n >= 0),
    published_at timestamptz NOT NULL,
    channel text COLLATE "C" NOT NULL,
    tenant text COLLATE "C",
    id text COLLATE "C",
    envelope bytea NOT NULL,
    PRIMARY KEY (tx, n, part)
) PARTITION BY LIST (part);
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox_0
    PARTITION OF fraiseql_subs.outbox FOR VALUES IN (0);
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox_1
    PARTITION OF fraiseql_subs.outbox FOR VALUES IN (1);
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox_2
    PARTITION OF fraiseql_subs.outbox FOR VALUES IN (2);
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox_3
    PARTITION OF fraiseql_subs.outbox FOR VALUES IN (3);
CREATE INDEX IF NOT EXISTS outbox_channel ON fraiseql_subs.outbox (channel, tx, n);
CREATE INDEX IF NOT EXISTS outbox_tenant ON fraiseql_subs.outbox (tenant, channel, tx, n)
    WHERE tenant IS NOT NULL;
CREATE INDEX IF NOT EXISTS outbox_id ON fraiseql_subs.outbox (id) WHERE id IS NOT NULL;

-- One row.
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox_state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    -- The numbering of positions; another one where transactions may be numbered anew.
    epoch bigint NOT NULL,
    system bigint NOT NULL,
    timeline bigint NOT NULL,
    -- The epoch begins after this position.
    start_tx bigint NOT NULL,
    start_n integer NOT NULL,
    -- All that is kept is after this position, and all after it is kept.
    floor_tx bigint NOT NULL,
    floor_n integer NOT NULL,
    -- The partition that is filled, and since when.
    part smallint NOT NULL,
    since timestamptz NOT NULL
);
INSERT INTO fraiseql_subs.outbox_state
VALUES (true, ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint,
    0, 0, 0, 0, 0, 0, 0, clock_timestamp())
ON CONFLICT DO NOTHING;

-- When the events of which transactions could be read.
CREATE TABLE IF NOT EXISTS fraiseql_subs.outbox_marks (
    at timestamptz NOT NULL,
    horizon bigint NOT NULL
);

-- Messages between nodes, for a minute.
CREATE TABLE IF NOT EXISTS fraiseql_subs.messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    message bytea NOT NULL
);

-- All transactions before this one have ended: an event of theirs is seen now or never.
CREATE OR REPLACE FUNCTION fraiseql_subs.outbox_horizon() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS 'SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint';

-- The advisory lock that nodes share while they wait for a NOTIFY.
CREATE OR REPLACE FUNCTION fraiseql_subs.sleeping() RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$SELECT hashtextextended('fraiseql_subs sleeping', 0)$$;

-- The advisory lock that transactions share which may have left out a NOTIFY.
CREATE OR REPLACE FUNCTION fraiseql_subs.publishing() RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$SELECT hashtextextended('fraiseql_subs publishing', 0)$$;

-- Inserts an event, and returns where it is. An event with the id of one that is kept is that event.
CREATE OR REPLACE FUNCTION fraiseql_subs.put(
    new_channel text, new_tenant text, new_id text, new_envelope bytea,
    OUT tx bigint, OUT n integer
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF new_id IS NOT NULL THEN
        -- Another transaction that publishes this id ends first.
        PERFORM pg_advisory_xact_lock(hashtextextended('fraiseql_subs ' || new_id, 0));
        SELECT outbox.tx, outbox.n INTO tx, n FROM fraiseql_subs.outbox
            -- By the index of ids, whatever the statistics say: of a channel there may be many events.
            WHERE outbox.id = new_id AND outbox.channel || '' = new_channel
                AND outbox.tenant IS NOT DISTINCT FROM new_tenant
            LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        -- An event that was delivered must not be lost in a crash: another one would take its place.
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
    tx := pg_current_xact_id()::text::bigint;
    -- Whoever publishes may have set it.
    n := greatest(0, coalesce(nullif(current_setting('fraiseql_subs.n', true), ''), '0')::integer);
    PERFORM set_config('fraiseql_subs.n', (n + 1)::text, true);
    INSERT INTO fraiseql_subs.outbox (part, tx, n, published_at, channel, tenant, id, envelope)
        SELECT state.part, put.tx, put.n, clock_timestamp(), new_channel, new_tenant, new_id,
            new_envelope
        FROM fraiseql_subs.outbox_state AS state;
    IF n = 0 AND coalesce(current_setting('fraiseql_subs.notify', true), '') <> 'off' THEN
        -- Transactions with a NOTIFY commit one after the other, so there is none while all nodes read. A
        -- node that falls asleep sees by the first lock that this one may have left it out. No lock is waited
        -- for: any role may have taken it.
        IF pg_try_advisory_xact_lock_shared(fraiseql_subs.publishing())
            AND pg_try_advisory_lock(fraiseql_subs.sleeping())
        THEN
            PERFORM pg_advisory_unlock(fraiseql_subs.sleeping());
        ELSE
            PERFORM pg_notify('fraiseql_subs', '');
        END IF;
    END IF;
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
DECLARE
    envelope bytea := fraiseql_subs.envelope(channel, data, tenant_id, event_type, event_id);
BEGIN
    PERFORM fraiseql_subs.put(channel, tenant_id, event_id, envelope);
END
$function$;

-- For nodes and publishers: publishes envelopes, and returns the position of each.
CREATE OR REPLACE FUNCTION fraiseql_subs.publish_events(
    channels text[], tenants text[], ids text[], envelopes bytea[]
) RETURNS TABLE (epoch bigint, tx bigint, n integer)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    SELECT state.epoch INTO epoch FROM fraiseql_subs.outbox_state AS state;
    FOR place IN 1..cardinality(envelopes) LOOP
        SELECT at.tx, at.n INTO tx, n
            FROM fraiseql_subs.put(
                channels[place], tenants[place], ids[place], envelopes[place]
            ) AS at;
        RETURN NEXT;
    END LOOP;
END
$function$;

-- For the nodes: begins another epoch if the server is another one than before. Returns the epoch, and
-- the position of the newest event that can be read.
CREATE OR REPLACE FUNCTION fraiseql_subs.open_outbox(
    OUT epoch bigint, OUT newest_tx bigint, OUT newest_n integer
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    state fraiseql_subs.outbox_state;
    horizon bigint;
    this_system bigint := 0;
    this_timeline bigint := 0;
BEGIN
    -- Some servers do not say it. Then only transactions that are missing show the difference.
    BEGIN
        this_system := (SELECT system_identifier FROM pg_control_system());
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        this_timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    SELECT * INTO STRICT state FROM fraiseql_subs.outbox_state;
    IF (state.system, state.timeline) IS DISTINCT FROM (this_system, this_timeline) THEN
        SELECT * INTO STRICT state FROM fraiseql_subs.outbox_state FOR UPDATE;
        IF state.system <> this_system AND state.system <> 0 THEN
            -- A copy of the data in another server, which numbers transactions on its own.
            TRUNCATE fraiseql_subs.outbox;
            UPDATE fraiseql_subs.outbox_state SET floor_tx = 0, floor_n = 0;
        END IF;
        IF (state.system, state.timeline) IS DISTINCT FROM (this_system, this_timeline) THEN
            IF state.system <> 0 OR state.timeline <> 0 THEN
                PERFORM fraiseql_subs.begin_epoch();
            END IF;
            UPDATE fraiseql_subs.outbox_state SET system = this_system, timeline = this_timeline;
        END IF;
        SELECT * INTO STRICT state FROM fraiseql_subs.outbox_state;
    END IF;
    horizon := fraiseql_subs.outbox_horizon();
    epoch := state.epoch;
    SELECT outbox.tx, outbox.n INTO newest_tx, newest_n FROM fraiseql_subs.outbox
        WHERE outbox.tx < horizon ORDER BY outbox.tx DESC, outbox.n DESC LIMIT 1;
    IF newest_tx IS NULL OR (newest_tx, newest_n) < (state.floor_tx, state.floor_n) THEN
        newest_tx := state.floor_tx;
        newest_n := state.floor_n;
    END IF;
END
$function$;

-- Begins another epoch after the newest event that can be read. The caller has locked the state.
CREATE OR REPLACE FUNCTION fraiseql_subs.begin_epoch() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    horizon bigint := fraiseql_subs.outbox_horizon();
BEGIN
    UPDATE fraiseql_subs.outbox_state SET
        epoch = ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint,
        start_tx = floor_tx,
        start_n = floor_n;
    UPDATE fraiseql_subs.outbox_state SET start_tx = newest.tx, start_n = newest.n
        FROM (
            SELECT outbox.tx, outbox.n FROM fraiseql_subs.outbox
            WHERE outbox.tx < horizon ORDER BY outbox.tx DESC, outbox.n DESC LIMIT 1
        ) AS newest
        WHERE (newest.tx, newest.n) > (floor_tx, floor_n);
END
$function$;

-- For the nodes: a node has read up to a position that the table does not have: the server has lost
-- its newest transactions, and numbers others like them.
CREATE OR REPLACE FUNCTION fraiseql_subs.renew_outbox(seen bigint, read_tx bigint, read_n integer)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM FROM fraiseql_subs.outbox_state WHERE epoch = seen FOR UPDATE;
    IF FOUND AND NOT fraiseql_subs.has_position(read_tx, read_n) THEN
        PERFORM fraiseql_subs.begin_epoch();
    END IF;
END
$function$;

-- Whether a position was given in this epoch. Of what is no longer kept this is not known.
CREATE OR REPLACE FUNCTION fraiseql_subs.has_position(read_tx bigint, read_n integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off
AS $function$
BEGIN
    -- In this order: what is truncated between the two is below the new floor.
    RETURN EXISTS (SELECT FROM fraiseql_subs.outbox WHERE (tx, n) = (read_tx, read_n))
        OR EXISTS (
            SELECT FROM fraiseql_subs.outbox_state
            WHERE (read_tx, read_n) <= greatest((floor_tx, floor_n), (start_tx, start_n))
        );
END
$function$;

-- For the nodes: the events of all channels after a position. The last row has no channel, and says how
-- far all is kept, for how long the oldest event waits that was committed and cannot be read yet, and
-- whether transactions are open that may have left out a NOTIFY.
CREATE OR REPLACE FUNCTION fraiseql_subs.read_outbox(
    after_tx bigint, after_n integer, max_rows integer, max_bytes bigint, max_event bigint
) RETURNS TABLE (
    tx bigint, n integer, channel text, tenant text, envelope bytea,
    epoch bigint, is_known boolean, waits double precision, is_open boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_sort = off SET jit = off
AS $function$
DECLARE
    horizon bigint;
    bytes bigint := 0;
    is_empty boolean := true;
BEGIN
    -- At first: what has ended before this is read below.
    is_open := NOT pg_try_advisory_lock(fraiseql_subs.publishing());
    IF NOT is_open THEN
        PERFORM pg_advisory_unlock(fraiseql_subs.publishing());
    END IF;
    horizon := fraiseql_subs.outbox_horizon();
    FOR tx, n, channel, tenant, envelope IN
        SELECT outbox.tx, outbox.n, outbox.channel, outbox.tenant,
            CASE WHEN octet_length(outbox.envelope) <= max_event THEN outbox.envelope ELSE '' END
        FROM fraiseql_subs.outbox
        WHERE (outbox.tx, outbox.n) > (after_tx, after_n) AND outbox.tx < horizon
        ORDER BY outbox.tx, outbox.n LIMIT max_rows
    LOOP
        is_empty := false;
        RETURN NEXT;
        bytes := bytes + octet_length(envelope);
        EXIT WHEN bytes >= max_bytes;
    END LOOP;
    channel := NULL;
    envelope := NULL;
    is_known := NOT is_empty OR fraiseql_subs.has_position(after_tx, after_n);
    waits := (
        SELECT extract(epoch FROM clock_timestamp() - outbox.published_at)
        FROM fraiseql_subs.outbox
        -- As the same statement sees it: what could not be read before may be readable now.
        WHERE outbox.tx >= (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
        ORDER BY outbox.tx, outbox.n LIMIT 1
    );
    -- At last: what was truncated while the events were read is below this floor.
    SELECT state.epoch, state.floor_tx, state.floor_n INTO epoch, tx, n
        FROM fraiseql_subs.outbox_state AS state;
    RETURN NEXT;
END
$function$;

-- For the nodes: the events of one stream after a position. The last row has no envelope, and says the
-- newest position of the stream, and whether events after the position may be gone.
CREATE OR REPLACE FUNCTION fraiseql_subs.read_stream(
    of_channel text, of_tenant text, by_tenant boolean,
    after_tx bigint, after_n integer, max_rows integer, max_bytes bigint, max_event bigint
) RETURNS TABLE (
    tx bigint, n integer, envelope bytea, epoch bigint, is_known boolean, is_kept boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
    horizon bigint := fraiseql_subs.outbox_horizon();
    state fraiseql_subs.outbox_state;
    bytes bigint := 0;
    filter text := CASE
        WHEN NOT by_tenant THEN 'channel = $1'
        WHEN of_tenant IS NULL THEN 'channel = $1 AND tenant IS NULL'
        ELSE 'channel = $1 AND tenant = $2'
    END;
BEGIN
    SELECT * INTO STRICT state FROM fraiseql_subs.outbox_state;
    -- Position 0 is the beginning of the epoch.
    IF (after_tx, after_n) < (state.start_tx, state.start_n) THEN
        after_tx := state.start_tx;
        after_n := state.start_n;
    END IF;
    FOR tx, n, envelope IN EXECUTE
        'SELECT tx, n, CASE WHEN octet_length(envelope) <= $7 THEN envelope ELSE '''' END
        FROM fraiseql_subs.outbox WHERE ' || filter || ' AND (tx, n) > ($3, $4) AND tx < $5
        ORDER BY tx, n LIMIT $6'
        USING of_channel, of_tenant, after_tx, after_n, horizon, max_rows, max_event
    LOOP
        RETURN NEXT;
        bytes := bytes + octet_length(envelope);
        EXIT WHEN bytes >= max_bytes;
    END LOOP;
    envelope := NULL;
    is_known := fraiseql_subs.has_position(after_tx, after_n);
    EXECUTE 'SELECT tx, n FROM fraiseql_subs.outbox WHERE ' || filter || ' AND tx < $3
        ORDER BY tx DESC, n DESC LIMIT 1' INTO tx, n USING of_channel, of_tenant, horizon;
    -- At last, as in read_outbox.
    SELECT * INTO STRICT state FROM fraiseql_subs.outbox_state;
    is_kept := (after_tx, after_n) >= (state.floor_tx, state.floor_n);
    epoch := state.epoch;
    IF tx IS NULL THEN
        -- The stream has no event that is kept.
        tx := CASE WHEN is_kept AND is_known THEN after_tx ELSE state.floor_tx END;
        n := CASE WHEN is_kept AND is_known THEN after_n ELSE state.floor_n END;
    END IF;
    RETURN NEXT;
END
$function$;

-- For the nodes, now and then: frees what could be read for longer than this.
CREATE OR REPLACE FUNCTION fraiseql_subs.maintain_outbox(kept_for interval) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    state fraiseql_subs.outbox_state;
    old bigint;
    place smallint;
    name text;
    is_used boolean;
    newest record;
BEGIN
    -- One node at a time.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('fraiseql_subs maintain_outbox', 0)) THEN
        RETURN;
    END IF;
    INSERT INTO fraiseql_subs.outbox_marks (at, horizon)
        SELECT clock_timestamp(), fraiseql_subs.outbox_horizon()
        WHERE NOT EXISTS (
            SELECT FROM fraiseql_subs.outbox_marks WHERE at > clock_timestamp() - kept_for / 20
        );
    -- Events of transactions before this one could be read for long enough.
    old := (
        SELECT max(marks.horizon) FROM fraiseql_subs.outbox_marks AS marks
        WHERE at <= clock_timestamp() - kept_for
    );
    DELETE FROM fraiseql_subs.outbox_marks AS marks WHERE marks.horizon < old;
    SELECT * INTO STRICT state FROM fraiseql_subs.outbox_state;
    PERFORM set_config('lock_timeout', '100ms', true);
    FOR step IN 1..3 LOOP
        place := (state.part + step) % 4;
        name := format('fraiseql_subs.outbox_%s', place);
        CONTINUE WHEN old IS NULL;
        EXECUTE format('SELECT EXISTS (SELECT FROM %1$s) AND NOT EXISTS (SELECT FROM %1$s WHERE tx >= $1)',
            name) INTO is_used USING old;
        CONTINUE WHEN NOT is_used;
        BEGIN
            -- Waits for transactions that have inserted here. While it waits, nobody can read.
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', name);
            EXECUTE format('SELECT tx, n FROM %s ORDER BY tx DESC, n DESC LIMIT 1', name) INTO newest;
            IF newest.tx < old THEN
                UPDATE fraiseql_subs.outbox_state SET floor_tx = newest.tx, floor_n = newest.n
                    WHERE (floor_tx, floor_n) < (newest.tx, newest.n);
                EXECUTE format('TRUNCATE %s', name);
            END IF;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    -- The next partition is filled when it is empty, and this one has its share.
    EXECUTE format('SELECT EXISTS (SELECT FROM fraiseql_subs.outbox_%s)', (state.part + 1) % 4)
        INTO is_used;
    IF NOT is_used AND state.since < clock_timestamp() - kept_for / 2 THEN
        UPDATE fraiseql_subs.outbox_state
            SET part = (state.part + 1) % 4, since = clock_timestamp();
    END IF;
END
$function$;

-- For the nodes: sends a message to the nodes.
CREATE OR REPLACE FUNCTION fraiseql_subs.send_message(message bytea) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    -- One after the other, so that a node that has read up to an id has read all before it.
    LOCK TABLE fraiseql_subs.messages IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM fraiseql_subs.messages WHERE sent_at < clock_timestamp() - interval '1 minute';
    INSERT INTO fraiseql_subs.messages (message) VALUES (send_message.message);
    PERFORM pg_notify('fraiseql_subs_messages', '');
END
$function$;

-- For the nodes: the newest message.
CREATE OR REPLACE FUNCTION fraiseql_subs.last_message() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'SELECT coalesce(max(id), 0) FROM fraiseql_subs.messages';

-- For the nodes: messages after one.
CREATE OR REPLACE FUNCTION fraiseql_subs.read_messages(after bigint)
RETURNS TABLE (id bigint, message bytea)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT messages.id, messages.message FROM fraiseql_subs.messages
    WHERE messages.id > after ORDER BY messages.id LIMIT 256
$function$;
