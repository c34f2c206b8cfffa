"""The disk of PostgreSQL is full (P12)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from promises import check
from support import eventually
from support.disks import fill, small_disk
from support.postgres_server import PostgresServer

pytestmark = pytest.mark.faults


@contextlib.contextmanager
def disk_of_postgres() -> Iterator[Path]:
    """Mount a small disk where the server, which is another user, may enter."""
    with tempfile.TemporaryDirectory(prefix="pg") as directory:
        parent = Path(directory)
        parent.chmod(0o755)
        with small_disk(parent / "d", 160) as disk:
            yield disk


async def test_the_disk_of_postgres_is_full(stack, deploy):
    """P12: publishing fails, may be tried again, and works again when there is room."""
    disk = stack.enter_context(disk_of_postgres())
    server = PostgresServer(disk, max_wal_size="32MB", min_wal_size="32MB")
    postgres = await stack.enter_async_context(server)
    postgres.install()
    deployment = await deploy(postgres, url=postgres.url, publish_timeout=5.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        filler = fill(disk)
        # Its log goes on in a new file, for which there is no room.
        with contextlib.suppress(AssertionError):
            await postgres.sql("SELECT pg_switch_wal(); SELECT txid_current()")

        def refused() -> list:
            failed = deployment.ledger.with_outcome("not_sent", "unknown")
            return [entry for entry in failed if entry.error]

        (entry, *_) = await eventually(refused, "publishing fails")
        assert entry.outcome == "unknown" or entry.error.retryable
        filler.unlink()

        async def runs() -> bool:
            assert postgres.process is not None
            if postgres.process.returncode is not None:
                # It has found no room to recover.
                await postgres.kill()
                await postgres.start()
            return await postgres.sql("SELECT 1") == "1"

        await eventually(runs, "it recovers, or is started again")
        await traffic.accepts()
    await deployment.settle()
    # A receipt has no position while the log is not read.
    check(deployment, may_be_refused=True, positions_are_shared=False)
