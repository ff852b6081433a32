import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge_anpr.watch.watchlist import ListRefused, load, parse

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def listed(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "schema": "anpr.list/1",
        "list_id": "test",
        "version": 3,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2026-12-31T00:00:00Z",
        "units": ["pole-07"],
        "mandate": {
            "regime": "test", "reference": "T-1", "authority": "nobody", "not_after": "2026-12-31T00:00:00Z",
        },
        "entries": [
            {"plate": "QA-12-CE", "country": "NL", "reason": "stolen", "not_after": "2026-12-31T00:00Z", "priority": 1}
        ],
    }  # fmt: skip
    return body | changes


def saved(tmp_path: Path, body: Any) -> Path:
    path = tmp_path / "list.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def test_a_list_is_read_and_said_to_be_unsigned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        got = load(saved(tmp_path, listed()), "pole-07", allow_unsigned=True, now=NOW)
    assert (got.version, got.entries[0].plate) == (3, "QA12CE")
    assert "UNSIGNED" in caplog.text
    assert "QA12CE" not in caplog.text + repr(got) + repr(got.entries)


def test_an_unsigned_list_is_refused_unless_it_was_allowed(tmp_path: Path) -> None:
    with pytest.raises(ListRefused, match=r"watchlist\.allow_unsigned"):
        load(saved(tmp_path, listed()), "pole-07", allow_unsigned=False, now=NOW)


@pytest.mark.parametrize("moment", ["2025-12-31", "2027-01-01"])
def test_outside_its_validity_a_list_is_refused(tmp_path: Path, moment: str) -> None:
    with pytest.raises(ListRefused, match="valid from 2026-01-01 to 2026-12-31"):
        load(
            saved(tmp_path, listed()), "pole-07", allow_unsigned=True,
            now=datetime.fromisoformat(moment).replace(tzinfo=UTC),
        )  # fmt: skip


def test_without_a_mandate_in_force_a_list_is_refused(tmp_path: Path) -> None:
    mandate = listed()["mandate"] | {"not_after": "2026-06-01T00:00:00Z"}
    with pytest.raises(ListRefused, match="mandate to 2026-06-01"):
        load(saved(tmp_path, listed(mandate=mandate)), "pole-07", allow_unsigned=True, now=NOW)


def test_another_units_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListRefused, match="not for unit pole-08"):
        load(saved(tmp_path, listed()), "pole-08", allow_unsigned=True, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[" * 100_000, "[]", "null",
        listed(schema="anpr.list/2"), listed(version="3"), listed(version=True), listed(valid_from="yesterday"),
        listed(valid_from="2026-01-01T00:00:00"), listed(extra=1), listed(units="*"), listed(entries={}),
        listed(mandate={}), listed(entries=[{}]), listed(list_id=""), listed(list_id="x" * 201),
        listed(list_id="a\nb"), listed(valid_until="9999-12-31T23:59:59-05:00"),
        listed(valid_from="0001-01-01T00:00:00+01:00"),
        listed(entries=[listed()["entries"][0] | {"plate": "QÄ-12-CE"}]),
        '{"schema": "anpr.list/1", "schema": "anpr.list/1"}',
    ],
)  # fmt: skip
def test_every_flaw_is_refused_in_one_line_without_a_plate(tmp_path: Path, body: Any) -> None:
    with pytest.raises(ListRefused) as caught:
        load(saved(tmp_path, body), "pole-07", allow_unsigned=True, now=NOW)
    assert "\n" not in str(caught.value)
    assert "12-CE" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_not_there_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(ListRefused, match=r"watchlist\.path"):
        load(tmp_path / "none.json", "pole-07", allow_unsigned=True, now=NOW)


def test_an_empty_list_is_valid() -> None:
    assert parse(json.dumps(listed(entries=[])).encode()).entries == ()
