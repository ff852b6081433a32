from datetime import UTC, datetime

import pytest

from edge_anpr.watch.making import from_csv, moment
from edge_anpr.watch.watchlist import parse, payload
from tests.watch.lists import watchlist

HEAD = "plate,country,reason,not_after,priority\n"
HEADER = watchlist().header


def test_rows_become_entries_in_groups() -> None:
    made, bad = from_csv(
        "\ufeff" + HEAD + "QA-12-CE,nl,stolen,2026-12-31,\n\nKU99QX,NL,stolen,2026-12-31T23:59:59Z,1\n"
        'DB01DB,BE,"wanted",2026-12-01T12:00:00+01:00,2\n', HEADER,
    )  # fmt: skip
    assert (bad, made and list(made.plates())) == ([], [("QA12CE", "NL"), ("KU99QX", "NL"), ("DB01DB", "BE")])
    assert made is not None
    assert [(item.reason, item.priority, f"{item.not_after:%d %H:%M}") for item in made.entries] == [
        ("stolen", 1, "31 23:59"),
        ("wanted", 2, "01 11:00"),
    ]
    assert parse(payload(made)) == made


def test_a_table_without_rows_is_an_empty_list() -> None:
    made, bad = from_csv(HEAD, HEADER)
    assert made is not None
    assert (len(made), bad) == (0, [])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("QÄ12CE,NL,stolen,2026-12-31,1", "plate: a plate is written with A-Z and 0-9"),
        ("Q,NL,stolen,2026-12-31,1", "plate: a plate has 2 to 12 characters"),
        (",NL,stolen,2026-12-31,1", "plate: a plate has 2 to 12 characters"),
        ("QA12CE,NEDERLAND,stolen,2026-12-31,1", "country: must be 1 to 3 letters"),
        ("QA12CE,NL,be cause,2026-12-31,1", "reason: must be a code"),
        ("QA12CE,NL,stolen,31-12-2026,1", "not_after: must be a day like 2026-12-31"),
        ("QA12CE,NL,stolen,2026-12-31T12:00:00,1", "not_after: must be a day like 2026-12-31"),
        ("QA12CE,NL,stolen,2026-12-31,-1", "priority: must be a whole number"),
        ("QA12CE,NL,stolen,2026-12-31,²", "priority: must be a whole number"),
        ("QA12CE,NL,stolen,2026-12-31", "has 4 columns instead of 5"),
        ("QA12CE,NL,stolen,2026-12-31,1,x", "has 6 columns instead of 5"),
        ("QA12CE," + "N" * 200 + ",stolen,2026-12-31,1", "more than 100 characters"),
        ("ku 99 qx,nl,stolen,2026-12-31,1", "says the same as line 2"),
    ],
)
def test_every_bad_row_is_named_with_its_line_and_reason_and_without_its_plate(row: str, says: str) -> None:
    good = "KU99QX,NL,stolen,2026-12-31,1\n"
    made, bad = from_csv(HEAD + good + row + "\n" + good.replace("99", "98") + row.replace("KU", "A") + "\n", HEADER)
    assert made is None
    assert bad[0].line == 3
    assert says in bad[0].text
    assert not any(plate in item.text for item in bad for plate in ("QA12CE", "KU99QX", "QÄ"))


def test_another_first_line_and_what_is_no_csv_are_refused() -> None:
    assert from_csv("QA12CE,NL\n", HEADER)[1][0].text.startswith("the first line must be")
    assert from_csv("", HEADER)[1][0].text.startswith("the first line must be")
    assert "no CSV" in from_csv(HEAD + '"' + "x" * 200_000, HEADER)[1][0].text


def test_a_day_begins_and_ends_in_utc() -> None:
    assert moment("2026-12-31", end=False) == datetime(2026, 12, 31, tzinfo=UTC)
    assert moment("2026-12-31", end=True) == datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
