import json
from typing import Any

import pytest

from edge_anpr.watch.watchlist import MAX_ENTRIES, ListRefused, parse, payload
from tests.watch.lists import watchlist


def body(**changes: Any) -> dict[str, Any]:
    written: dict[str, Any] = {
        "schema": "anpr.list/1",
        "list_id": "test",
        "version": 3,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2026-12-31T00:00:00Z",
        "units": ["pole-07"],
        "mandate": {
            "regime": "test", "reference": "T-1", "authority": "nobody", "not_after": "2026-12-31T00:00:00Z",
        },
        "entries": [entry(plate="QA-12-CE")],
    }  # fmt: skip
    return written | changes


def entry(**changes: Any) -> dict[str, Any]:
    return {"country": "NL", "reason": "stolen", "not_after": "2026-12-31T00:00Z", "priority": 1} | changes


def test_plates_stand_one_by_one_or_together_and_are_written_in_one_alphabet() -> None:
    got = parse(json.dumps(body(entries=[entry(plate="QA-12-CE"), entry(plates=["ku 99 qx", "DB01DB"])])).encode())
    assert list(got.plates()) == [("QA12CE", "NL"), ("KU99QX", "NL"), ("DB01DB", "NL")]
    assert (len(got), got.header.version) == (3, 3)
    assert "QA12CE" not in repr(got)


def test_what_is_written_is_read_again_as_it_was() -> None:
    made = watchlist("QA12CE", "KU99QX")
    assert parse(payload(made)) == made


def test_an_empty_list_is_valid() -> None:
    assert len(parse(json.dumps(body(entries=[])).encode())) == 0


@pytest.mark.parametrize(
    "flawed",
    [
        "", "{", "[" * 100_000, '{"a":' * 100_000, "[]", "null", "1" * 5000,
        body(schema="anpr.list/2"), body(version="3"), body(version=True), body(version=-1), body(version=2**53),
        body(valid_from="yesterday"), body(valid_from="2026-01-01T00:00:00"), body(extra=1), body(units="*"),
        body(units=[]), body(units=[""]), body(entries={}), body(mandate={}), body(entries=[{}]), body(list_id=""),
        body(list_id="x" * 201), body(list_id="a\nb"), body(valid_until="9999-12-31T23:59:59-05:00"),
        body(valid_from="0001-01-01T00:00:00+01:00"), body(entries=[entry(plate="QÄ-12-CE")]),
        body(entries=[entry(plate="A")]), body(entries=[entry(plate="A" * 13)]), body(entries=[entry(plate=1)]),
        body(entries=[entry(plates="QA12CE")]), body(entries=[entry(plate="QA12CE", plates=["QA12CE"])]),
        body(entries=[entry()]), body(entries=[entry(plate="QA12CE", country="nl")]),
        body(entries=[entry(plate="QA12CE", reason="be cause")]), body(entries=[entry(plate="QA12CE", reason="")]),
        body(entries=[entry(plate="QA12CE", priority=1.5)]), body(entries=[entry(plate="QA12CE", not_after=5)]),
        '{"schema": "anpr.list/1", "schema": "anpr.list/1"}',
    ],
)  # fmt: skip
def test_every_flaw_is_refused_in_one_line_without_a_plate(flawed: Any) -> None:
    with pytest.raises(ListRefused) as caught:
        parse((flawed if isinstance(flawed, str) else json.dumps(flawed)).encode())
    said = str(caught.value)
    assert "\n" not in said
    assert "12-CE" not in said
    assert "QA12CE" not in said
    assert caught.value.__cause__ is None


def test_more_plates_than_a_list_may_have_are_refused() -> None:
    plates = ["QA12CE"] * (MAX_ENTRIES // 2 + 1)
    with pytest.raises(ListRefused, match="at most 200000"):
        parse(json.dumps(body(entries=[entry(plates=plates), entry(plates=plates)])).encode())
