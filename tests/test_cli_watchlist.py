"""The authority's commands, from the key to a list that a unit takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ORDER = ("--list-id", "stolen", "--version", "3", "--unit", "pole-07", "--valid-until", "2099-12-31",
         "--regime", "test",
         "--reference", "T-1", "--authority", "nobody", "--mandate-until", "2099-12-31")  # fmt: skip
TABLE = "plate,country,reason,not_after,priority\nQA-12-CE,NL,stolen,2099-12-31,1\nKU-99-QX,NL,stolen,2099-12-31,\n"


def watchlist(*words: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edge_anpr", "watchlist", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = tmp_path_factory.mktemp("desk")
    watchlist("keygen", desk / "authority")
    (desk / "stolen.csv").write_text(TABLE)
    watchlist("make", desk / "stolen.csv", "--out", desk / "stolen.json", *ORDER)
    watchlist("sign", desk / "stolen.json", "--key", desk / "authority.key", "--out", desk / "stolen.signed")
    return desk


def test_a_table_becomes_a_signed_list_that_says_who_answers_for_it(desk: Path) -> None:
    told = watchlist("verify", desk / "stolen.signed", "--key", desk / "authority.pub", "--unit", "pole-07")
    assert "signed by key" in told
    shown = watchlist("show", desk / "stolen.signed", "--key", desk / "authority.pub")
    assert "stolen version 3" in shown
    assert "T-1" in shown
    assert "QA12CE" not in told + shown
    assert "QA12CE,NL,stolen,2099-12-31T23:59:59Z,1" in watchlist("show", desk / "stolen.signed", "--plates")


def test_the_false_hits_of_a_list_grow_with_its_plates_and_with_the_traffic(desk: Path) -> None:
    def told(*words: object) -> list[float]:
        rows = watchlist("simulate", desk / "stolen.signed", *words).splitlines()
        return [float(row.split("│")[2]) for row in rows if "│" in row]

    few, many = told("--passages-per-day", 5000), told("--passages-per-day", 50_000)
    assert len(few) == 3
    assert 0 < sum(few) < 0.01
    assert many == pytest.approx([10 * value for value in few], rel=0.02)


def test_what_a_unit_would_refuse_is_said(desk: Path) -> None:
    trusting = ("verify", desk / "stolen.signed", "--key", desk / "authority.pub")
    assert "is not for unit pole-08" in watchlist(*trusting, "--unit", "pole-08", code=2)
    watchlist("keygen", desk / "stranger")
    words = ("verify", desk / "stolen.signed", "--key", desk / "stranger.pub")
    assert "no key that is trusted" in watchlist(*words, code=2)
    assert "the list is not signed" in watchlist(
        "verify", desk / "stolen.json", "--key", desk / "authority.pub", code=2
    )


def test_bad_rows_are_all_named_and_no_list_is_written(desk: Path) -> None:
    (desk / "bad.csv").write_text(TABLE + "Q,NL,stolen,2099-12-31,1\nQB12CE,NL,stolen,soon,1\n")
    told = watchlist("make", desk / "bad.csv", "--out", desk / "bad.json", *ORDER, code=2)
    assert "bad.csv:4: plate" in told
    assert "bad.csv:5: not_after" in told
    assert "2 bad rows; no list was written" in told
    assert "QB12CE" not in told
    assert not (desk / "bad.json").exists()


def test_a_secret_is_its_owners_alone_and_no_key_is_ever_overwritten(desk: Path) -> None:
    secret = (desk / "authority.key").read_text()
    assert {(desk / name).stat().st_mode & 0o777 for name in ("stolen.json", "stolen.signed")} == {0o640}
    assert not [*desk.glob("*.part")]
    assert (desk / "authority.key").stat().st_mode & 0o777 == 0o600
    assert "is there already" in watchlist("keygen", desk / "authority", code=2)
    assert (desk / "authority.key").read_text() == secret
    words = ("sign", desk / "stolen.json", "--key", desk / "authority.pub", "--out", desk / "x")
    assert "holds no secret signing key" in watchlist(*words, code=2)
    loose = desk / "loose.key"
    loose.write_text(secret)
    os.chmod(loose, 0o644)  # noqa: PTH101
    words = ("sign", desk / "stolen.json", "--key", loose, "--out", desk / "x")
    assert "chmod 600" in watchlist(*words, code=2)


def test_what_a_unit_would_refuse_is_not_signed(desk: Path) -> None:
    (desk / "flawed.json").write_text((desk / "stolen.json").read_text().replace("stolen", "", 1))
    words = ("sign", desk / "flawed.json", "--key", desk / "authority.key", "--out", desk / "flawed.signed")
    assert "list_id" in watchlist(*words, code=2)
    assert not (desk / "flawed.signed").exists()


def test_every_command_explains_itself() -> None:
    overview = watchlist("--help")
    for command in ("keygen", "make", "sign", "verify", "show", "simulate"):
        assert command in overview
        assert len(watchlist(command, "--help").splitlines()) > 5
