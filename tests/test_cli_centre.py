"""The centre's commands as an operator runs them: processes of their own, a real broker, a fake unit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_anpr import cli
from edge_anpr.privacy import keys, seal
from edge_anpr.privacy.seal import is_sealed
from edge_anpr.watch import arming, envelope, watchlist
from tests.centre import conftest as shared
from tests.centre.conftest import AUTHORITIES, CENTRE, PLATE, Centre
from tests.conftest import Process, free_port, until

centre = shared.centre  # the fixture

RUN = "from edge_anpr import cli; cli.main()"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-c", RUN, "centre", *map(str, arguments)]


def run(*arguments: str | Path) -> Result:
    """In this process, for what needs none of its own."""
    return CliRunner().invoke(cli.main, ["centre", *map(str, arguments)])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def process(*arguments: str | Path, stdin: int = subprocess.DEVNULL) -> Process:
        one = Process(command(*arguments), tmp_path / f"process-{len(made)}.log")
        made.append(one)
        with one.log.open("ab") as log:
            one.running = subprocess.Popen(one.command, stdout=log, stderr=log, stdin=stdin)
        return one

    yield process
    for one in made:
        if one.running is not None and one.running.stdin is not None:
            one.running.stdin.close()
        one.kill()


def test_a_list_is_given_by_the_operators_yes_and_withdrawn_in_ten_seconds(
    centre: Centre, start: Callable[..., Process]
) -> None:
    folder, broker = centre.folder, f"127.0.0.1:{centre.port}"
    common = ("--broker", broker, "--key", folder / "ticket.key", "--revocations", centre.revocations)
    armer = start(
        "arm", *common, "--list", centre.list_path, "--authority", folder / "authority.pub", stdin=subprocess.PIPE
    )
    until(lambda: "waiting for units" in armer.said())
    unit = centre.unit()
    session = unit.ask()
    centre.until(lambda: "[y/n]" in armer.said())
    centre.some_turns()
    assert unit.heard == []
    assert armer.running is not None
    assert armer.running.stdin is not None
    armer.running.stdin.write(b"y\n")
    armer.running.stdin.flush()
    centre.until(lambda: unit.heard)
    armed = session.open(unit.heard.pop(), CENTRE, time.monotonic_ns())
    listed = watchlist.parse(envelope.verify(armed.envelope, envelope.LIST, AUTHORITIES).payload)
    assert PLATE in {plate for plate, _ in listed.plates()}
    unit.ask(holds=arming.Holds("stolen", 1))
    centre.some_turns()

    began = time.monotonic()
    withdrawal = start("revoke", *common, "--list-id", "stolen", "--up-to-version", "1")
    centre.until(lambda: unit.heard)
    assert time.monotonic() - began < 10
    assert all(arming.read_revocation(raw, CENTRE).withdraws("pole-07", "stolen", 1) for raw in unit.heard)
    assert withdrawal.ends() == 0
    assert "anpr/v1/town/bridge/pole-07: told" in withdrawal.said()
    unit.ask(boot_id="cd34")
    centre.until(lambda: "is withdrawn; sign a newer version" in armer.said())
    assert not any(is_sealed(raw) for raw in unit.heard)
    assert armer.said().count("[y/n]") == 1
    armer.running.terminate()
    assert armer.running.wait(10) == 0
    assert "Traceback" not in armer.said() + withdrawal.said()
    assert PLATE not in armer.said() + withdrawal.said()


def test_hits_are_opened_and_shown(centre: Centre, start: Callable[..., Process]) -> None:
    secret, public = seal.new_pair("centre, hits")
    keys.write(centre.folder / "hits.key", secret)
    process = start("hits", "--broker", f"127.0.0.1:{centre.port}", "--key", centre.folder / "hits.key")
    until(lambda: "waiting for hits" in process.said())
    unit = centre.unit()
    append = seal.sealing(unit.outbox.append, public)
    hit = {"phase": "first", "hit_id": "a", "read": PLATE, "match": {"class": "exact", "listed": PLATE}}
    append("a", "first", json.dumps(hit).encode())
    stranger = seal.seal(b"{}", seal.new_pair("another")[1])
    unit.outbox.append("b", "first", stranger)
    centre.until(lambda: "HIT first" in process.said() and "sealed, " in process.said())
    assert PLATE in process.said()
    assert f"sealed, {len(stranger)} bytes" in process.said()
    assert "that --key does not open" in process.said()


def test_keygen_makes_four_files_and_overwrites_none(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    done = run("keygen", folder)
    assert done.exit_code == 0
    signs, opens = (keys.read(folder / f"{name}.key", use, secret=True) for name, use in USES)
    checks, seals = (keys.read(folder / f"{name}.pub", use, secret=False) for name, use in USES)
    assert envelope.trusted_by(signs) == {keys.key_id(checks.raw): checks.raw}
    assert seal.open_sealed(seal.seal(b"x", seals), opens) == b"x"
    assert [(folder / name).stat().st_mode & 0o777 for name in ("ticket.key", "hits.key")] == [0o600, 0o600]
    assert (folder / "ticket.key").read_text().split()[2] not in done.output
    before = (folder / "ticket.key").read_bytes()
    (folder / "hits.pub").unlink()
    again = run("keygen", folder)
    assert again.exit_code == 2
    assert "ticket.key: is there already" in again.output
    assert (folder / "ticket.key").read_bytes() == before
    assert not (folder / "hits.pub").exists()


USES: tuple[tuple[str, keys.Use], ...] = (("ticket", "ed25519"), ("hits", "x25519"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--list": "none"}, "none: cannot be read: No such file or directory; name the signed list with --list"),
        ({"--list": "authority.pub"}, "authority.pub: is no signed envelope"),
        ({"--authority": "ticket.pub"}, "stolen.signed: is signed by no key that is trusted here"),
        ({"--authority": "ticket.key"}, "ticket.key: holds no public signing key"),
        ({"--key": "ticket.pub"}, "ticket.pub: holds no secret signing key"),
        ({"--revocations": "ticket.pub"}, "--revocations ticket.pub: cannot be made: File exists"),
        ({"--unit-keys": "empty"}, "--unit-keys empty: holds no UNIT.pub"),
        ({"--password-file": "none"}, "--password-file none cannot be read: No such file or directory"),
        ({"--ca": "none"}, "--ca and --certificate cannot be used: ca none: No such file or directory"),
        ({"--broker": "nowhere"}, "--broker takes HOST:PORT"),
        ({"--certificate": "ticket.pub"}, "--certificate and --tls-key go together"),
    ],
)
def test_what_a_person_must_mend_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "stolen.signed").write_bytes(shared.signed())
    for name, key in (
        ("authority.pub", shared.AUTHORITY_PUBLIC),
        ("ticket.key", shared.TICKETS),
        ("ticket.pub", shared.TICKETS_PUBLIC),
    ):
        keys.write(tmp_path / name, key)
    options = {
        "--broker": f"127.0.0.1:{free_port()}", "--list": "stolen.signed", "--authority": "authority.pub",
        "--key": "ticket.key", "--revocations": "revocations",
    } | changes  # fmt: skip
    done = run("arm", *(word for option in options.items() for word in option))
    assert done.exit_code == 2
    complaint = done.output.splitlines()[-1]
    assert says in complaint
    assert "Usage" in done.output or len(done.output.splitlines()) == 1
    assert "Traceback" not in done.output


def test_no_terminal_is_no_yes(centre: Centre, start: Callable[..., Process]) -> None:
    process = start(
        "arm", "--broker", f"127.0.0.1:{centre.port}", "--key", centre.folder / "ticket.key",
        "--revocations", centre.revocations, "--list", centre.list_path,
        "--authority", centre.folder / "authority.pub",
    )  # fmt: skip
    until(lambda: "waiting for units" in process.said())
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: process.running is None or process.running.poll() is not None)
    assert process.ends() == 2
    assert "nobody can answer here" in process.said()
    assert unit.heard == []


def test_every_command_explains_itself() -> None:
    overview = run("--help").output
    for name in ("keygen", "arm", "revoke", "hits"):
        assert name in overview
        assert len(run(name, "--help").output.splitlines()) > 8
