"""System calls for each event: lines of strace are counted as what they are."""

from __future__ import annotations

import shutil

import pytest

from load_tests import hops
from load_tests.compare.contenders import Contender, contenders
from load_tests.compare.measure import LOAD, ROOT
from load_tests.compare.report import between_markers

TCP = "TCP:[127.0.0.1:39763->127.0.0.1:56604]"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("7089  epoll_wait(3<anon_inode:[eventpoll]>,  <unfinished ...>", "waits"),
        ("7089  write(19<anon_inode:[eventfd]>, ..., 8) = 8", "wakes"),
        ("7171  sendto(6<UNIX-STREAM:[5973859->5973860]>, ..., 1, 0, NULL, 0) = 1", "wakes"),
        ("7171  write(6<pipe:[59]>, ..., 1) = 1", "wakes"),
        ("7153  recvfrom(5<UNIX-STREAM:[5973860->5973859]>, ..., 4096) = 1", "woken"),
        ("7153  read(9<anon_inode:[eventfd]>, ..., 8) = 8", "woken"),
        (f"7094  sendto(22<{TCP}>, ..., 197, MSG_NOSIGNAL, NULL, 0 <unfinished ...>", "sends"),
        (f"7089  recvfrom(23<{TCP}>, ..., 262144, 0, NULL, NULL) = 174", "receives"),
        ("7089  futex(0x7f1c, FUTEX_WAKE_PRIVATE, 1) = 1", "futex"),
        ("7089  getpid()                          = 7089", "others"),
        ("7094  <... epoll_wait resumed>[...], 1024, 398) = 1", None),
        ("7094  --- SIGCHLD {si_signo=SIGCHLD} ---", None),
        ("7094  +++ exited with 0 +++", None),
    ],
)
def test_a_call_counts_once_as_what_it_is(line, kind):
    assert hops.kind(line) == kind
    counts = hops.count([line])
    assert counts["all"] == (kind is not None)
    assert all(counts[name] == (name == kind) for name in hops.KINDS)


def test_the_page_on_performance_has_the_markers():
    page = (ROOT / "docs/performance.md").read_text()
    markers = hops.PROGRAM.markers
    written = between_markers(page, markers, "text")
    assert f"{markers.begin}\n\ntext\n\n{markers.end}" in written


@pytest.mark.skipif(
    shutil.which("strace") is None or not LOAD.exists(),
    reason="needs strace and a release build of the load client",
)
@pytest.mark.parametrize("name", ["floor-asyncio", "ours"])
def test_each_event_is_received_and_sent_by_one_call(name):
    server: Contender = next(c for c in contenders(1) if c.name == name)
    found = hops.for_each_event(server, hops.Size(few=20, many=120))
    # A timer or a last frame may add a call to a hundred events; no event needs two.
    assert found["sends"] == pytest.approx(1, abs=0.1)
    assert found["receives"] == pytest.approx(1, abs=0.1)
    assert found["waits"] >= 1
