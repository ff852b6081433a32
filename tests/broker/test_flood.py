"""What one stolen unit can do to the others: it is thrown out, they are served, the memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.client import NO_SUBSCRIBER, NOT_AUTHORIZED, SUCCESS, Client, heard_within
from tests.broker.hardened import Hardened
from tests.conftest import until

BAD, GOOD = "town/bridge/bad", "town/bridge/good"
TOPICS = ("hit/cam-1", "status", "birth", "health", "alarm", "stats", "arm", "ack")
LIMIT_MB = 60


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Hardened]:
    # The shipped numbers, a tenth and less as large, so that a test reaches them.
    made = Hardened(
        tmp_path, memory_limit=str(LIMIT_MB * 1_000_000), max_queued_bytes="20000000", max_queued_messages="200"
    )
    for name in (BAD, GOOD):
        made.unit(name)
    made.centre()
    made.start()
    yield made
    made.kill()


def served(broker: Hardened, centre: Client) -> bool:
    """Whether a hit of the usual size comes through, by a session that is new."""
    before = len(centre.heard)
    with Client(broker.port, broker.unit(GOOD)) as unit:
        code = unit.publish(f"anpr/v1/{GOOD}/hit/cam-1", b"g" * 16_384)
        heard_within(centre, before + 1)
        return code == SUCCESS


def test_a_packet_that_is_too_large_ends_the_connection_and_is_not_kept(broker: Hardened) -> None:
    with Client(broker.port, broker.centre()) as centre, Client(broker.port, broker.unit(BAD)) as bad:
        centre.subscribe(f"anpr/v1/{GOOD}/#")
        rss = broker.rss_mb()
        assert bad.publish(f"anpr/v1/{BAD}/hit/cam-1", b"x" * 4_000_001) is None
        assert served(broker, centre)
        assert broker.rss_mb() < rss + 5


def test_what_a_unit_leaves_behind_is_bounded_by_its_topics(broker: Hardened) -> None:
    with Client(broker.port, broker.centre()) as centre:
        centre.subscribe(f"anpr/v1/{GOOD}/#")
        with Client(broker.port, broker.unit(BAD)) as bad:
            for end in TOPICS:
                for _ in range(2):
                    assert bad.publish(f"anpr/v1/{BAD}/{end}", b"x" * 1_000_000, retain=True) in {
                        SUCCESS,
                        NO_SUBSCRIBER,
                    }
            ids = [bad.send(f"anpr/v1/{BAD}/hit/{number}", b"x", retain=True) for number in range(10_000)]
            until(lambda: ids[-1] in bad.pubacks or bad.ended, 30)
            assert {bad.pubacks[one] for one in ids} == {NOT_AUTHORIZED}
        assert broker.rss_mb() < 10 + len(TOPICS) * 1 + 25
        assert served(broker, centre)


def test_at_the_memory_limit_the_one_who_floods_is_thrown_out(broker: Hardened) -> None:
    with Client(broker.port, broker.centre(), manual_ack=True) as stuck:  # acknowledges nothing, so that all is queued
        stuck.subscribe(f"anpr/v1/{BAD}/hit/+")
        with Client(broker.port, broker.centre("centre-2")) as centre:
            centre.subscribe(f"anpr/v1/{GOOD}/#")
            with Client(broker.port, broker.unit(BAD)) as bad:
                for _ in range(100):
                    bad.send(f"anpr/v1/{BAD}/hit/cam-1", b"x" * 1_000_000)
                until(lambda: bad.ended, 30)
            assert broker.rss_mb() < LIMIT_MB + 25
            assert served(broker, centre)


def test_a_queue_is_bounded(broker: Hardened) -> None:
    """A centre that is stuck gets 400 in flight, 200 wait for it here, and the rest is dropped (and sent again)."""
    with Client(broker.port, broker.centre(), manual_ack=True) as centre, Client(broker.port, broker.unit(BAD)) as unit:
        centre.subscribe("anpr/v1/+/+/+/hit/+")
        ids = [unit.send(f"anpr/v1/{BAD}/hit/cam-1", b"%05d" % number * 2_000) for number in range(4_000)]
        until(lambda: all(one in unit.pubacks for one in ids), 30)
        heard_within(centre, 400)
        assert [int(payload[:5]) for _, payload in centre.heard] == list(range(400))
        assert broker.rss_mb() < 10 + 600 / 100 + 10  # of 40 MB that were sent
