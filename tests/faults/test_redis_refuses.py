"""Redis answers, and refuses: publishers are told what helps, and all goes on once it does."""

from __future__ import annotations

import asyncio

import pytest
from deployment import STREAMS
from promises import check, check_missed_once
from support import eventually
from support.disks import fill, small_disk
from support.ledger import Entry

from fraiseql_subs import PublishError

pytestmark = pytest.mark.faults

STREAM = STREAMS[0]


async def test_redis_forgets_its_scripts(redis, deploy):
    """R16, NOSCRIPT."""
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        for _ in range(5):
            await traffic.accepts(1)
            assert await redis.command("SCRIPT", "FLUSH") == "OK"
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


async def refused(deployment) -> PublishError:
    """Return the error of the next event."""
    entry: Entry = await deployment.ledger.publish(STREAM)
    assert entry.error is not None, entry
    return entry.error


async def test_redis_is_full(redis, deploy):
    """R16, OOM: it is worth trying again."""
    deployment = await deploy(redis, publish_timeout=1.0)
    await deployment.settle()
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    error = await refused(deployment)
    assert (error.outcome, error.retryable) == ("not_sent", True)
    assert "maxmemory" in str(error)
    await redis.command("CONFIG", "SET", "maxmemory", "0")
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_redis_has_room_again_in_time(redis, deploy):
    """R16, OOM: publishers that wait are served."""
    deployment = await deploy(redis, publish_timeout=20.0)
    await deployment.settle()
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    publications = [asyncio.ensure_future(deployment.ledger.publish(STREAM)) for _ in range(20)]
    done, _ = await asyncio.wait(publications, timeout=0.5)
    assert not done
    await redis.command("CONFIG", "SET", "maxmemory", "0")
    await asyncio.gather(*publications)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


async def test_redis_becomes_a_replica_and_a_master_again(redis, deploy):
    """R16, READONLY."""
    deployment = await deploy(redis, publish_timeout=1.0)
    await deployment.settle()
    await redis.command("REPLICAOF", "127.0.0.1", "1")
    error = await refused(deployment)
    assert (error.outcome, error.retryable) == ("not_sent", True)
    await redis.command("REPLICAOF", "NO", "ONE")
    await deployment.settle()
    # A replica may have lost what it had, and has another replication id when it is promoted.
    check(deployment)
    check_missed_once(deployment.observations)


async def test_redis_runs_a_script_that_does_not_end(redis, deploy):
    """R16, BUSY."""
    deployment = await deploy(redis, publish_timeout=1.0)
    await deployment.settle()
    await redis.command("CONFIG", "SET", "busy-reply-threshold", "10")
    endless = asyncio.ensure_future(redis.command("EVAL", "while true do end", "0"))
    try:

        async def is_busy() -> bool:
            return (await redis.command("GET", "x")).startswith("BUSY")

        await eventually(is_busy, "Redis is busy")
        error = await refused(deployment)
        assert error.retryable
    finally:
        await eventually(lambda: _killed(redis), "the script is killed")
        await endless
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def _killed(redis) -> bool:
    return await redis.command("SCRIPT", "KILL") == "OK"


async def test_redis_loads_its_data_for_a_while(start_redis, deploy):
    """R16, LOADING: what it loads is older than what nodes have seen."""
    redis = await start_redis(key_load_delay="2000", loading_process_events_interval_bytes="1024")
    deployment = await deploy(redis, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        script = "for i = 1, 1000 do redis.call('SET', 'filler' .. i, string.rep('x', 1024)) end"
        await redis.command("EVAL", script, "0")
        assert await redis.command("SAVE") == "OK"
        await traffic.accepts()
        await redis.kill()
        await redis.start()
        await traffic.accepts()
    await deployment.settle()
    check(deployment)


RULES = (
    "resetchannels &fs1:* resetkeys ~fs1:* -@all +hello +auth +ping +select +info +evalsha"
    " +script|load +subscribe +unsubscribe +publish +xadd +xrange +expire +unlink +del +hset"
    " +hmget +set +get"
)


@pytest.mark.parametrize("command", ["evalsha", "xadd", "set", "publish"])
async def test_a_permission_is_taken_away_and_given_back(redis, deploy, command):
    """R16, NOPERM: it is waited for, and told as what it is at the end."""
    await redis.command("ACL", "SETUSER", "bus", "reset", "on", ">secret", *RULES.split())
    url = "redis://bus:secret@127.0.0.1:{port}"
    deployment = await deploy(redis, url=url, publish_timeout=1.0)
    await deployment.settle()
    await redis.command("ACL", "SETUSER", "bus", f"-{command}")
    error = await refused(deployment)
    # Unknown where an attempt was under way when the time was over.
    assert error.outcome in ("not_sent", "unknown") and error.retryable
    assert "grant the user the commands" in str(error)
    assert "secret" not in str(error)
    entry = deployment.ledger.entries[-1]
    await redis.command("ACL", "SETUSER", "bus", f"+{command}")
    await deployment.settle()
    # The same event again is one event.
    receipt = await deployment.ledger.send(entry)
    await deployment.settle()
    assert {one.count(entry.id) for one in deployment.observations} <= {0, 1}
    # It is later than events that were published after the first attempt.
    entry.outcome, entry.position = "unknown", receipt.position
    check(deployment, may_be_refused=True)


async def test_the_disk_of_redis_is_full(tmp_path, stack, deploy):
    """R17."""
    from support.redis_server import RedisServer

    disk = stack.enter_context(small_disk(tmp_path / "disk", 24))
    options = {"appendonly": "yes", "appendfsync": "everysec"}
    options["logfile"] = str(disk.parent / "redis.log")
    redis = await stack.enter_async_context(RedisServer(disk, options))
    deployment = await deploy(redis, publish_timeout=2.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        filler = fill(disk)
        is_refused = lambda: [  # noqa: E731
            entry for entry in deployment.ledger.with_outcome("not_sent", "unknown") if entry.error
        ]
        (entry, *_) = await eventually(is_refused, "publishing fails")
        assert entry.error.retryable
        filler.unlink()
        await traffic.accepts()
    await deployment.settle()
    check(deployment)


async def test_an_event_that_is_too_large_is_refused_at_the_call(redis, deploy):
    """X2: before anything is sent."""
    deployment = await deploy(redis)
    await deployment.settle()
    before = await redis.command("INFO", "commandstats")
    calls = [line for line in before.splitlines() if "evalsha" in line]
    with pytest.raises(PublishError) as refusal:
        await deployment.manager.publish(
            STREAM.channel, {"filler": "x" * 2_000_000}, tenant_id=STREAM.tenant
        )
    assert (refusal.value.outcome, refusal.value.retryable) == ("not_sent", False)
    after = await redis.command("INFO", "commandstats")
    assert [line for line in after.splitlines() if "evalsha" in line] == calls
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_redis_has_too_many_clients_for_a_while(redis, deploy):
    """R16, max number of clients: publishers that wait are served, and none is refused."""
    deployment = await deploy(redis, publish_timeout=60.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts(1)
        # One connection, which stays while no other can be made.
        script = "CONFIG SET maxclients 1\nCLIENT KILL TYPE pubsub\nCLIENT KILL TYPE normal\n"
        shell = await asyncio.create_subprocess_exec(
            "redis-cli",
            "-p",
            str(redis.port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(script.encode())

        async def is_refused() -> bool:
            shell.stdin.write(b"INFO stats\n")
            while line := await shell.stdout.readline():
                if line.startswith(b"rejected_connections:"):
                    return int(line.partition(b":")[2]) >= 10
            raise AssertionError("redis-cli has ended")

        await eventually(is_refused, "Redis refuses connections")
        await shell.communicate(b"CONFIG SET maxclients 1000\n")
        await traffic.accepts(1)
    await deployment.settle()
    check(deployment)
    assert not deployment.ledger.with_outcome("not_sent")
