"""Disks that are full, out of inodes, read-only or failing: hits are refused and counted, and taken again after it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit.outbox import Outbox, OutboxFull
from tests.conftest import until

BIG = 10_000_000
BODY = b"x" * 8000


def run(*command: object) -> bool:
    return subprocess.run([str(part) for part in command], check=False, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB with 20 inodes."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() or not run("mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=20", "tmpfs", path):
        pytest.skip("only root can mount a small disk")
    yield path
    subprocess.run(["umount", path], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        file.writelines(itertools.repeat(b"x" * 4096))
    return ballast


def refuses(outbox: Outbox, words: str) -> None:
    uses: tuple[Callable[[], None], ...] = (
        lambda: outbox.append("b", "first", BODY),
        lambda: outbox.put_state("health", b"x" * 100_000),
        outbox.ready,
    )
    for use in uses:
        with pytest.raises(OutboxFull, match=words):
            use()


def test_a_full_disk_refuses_hits_and_deletions_and_takes_both_again(disk: Path) -> None:
    outbox = Outbox(disk / "outbox.db", BIG)
    for _ in range(20):
        outbox.append("a", "first", BODY)
    ballast = fill(disk)
    refuses(outbox, "takes nothing: the disk is full; free some space")
    with pytest.raises(OutboxFull, match="the disk is full; free some space"):
        outbox.delete(list(range(1, 20)))
    assert [row.payload for row in outbox.waiting(0, 99)][-1] == BODY
    ballast.unlink()
    outbox.ready()
    outbox.append("c", "first", BODY)
    outbox.delete([row.rowid for row in outbox.waiting(0, 99)])
    outbox.close()


def test_a_disk_without_inodes_is_told_and_an_open_outbox_needs_none(disk: Path) -> None:
    outbox = Outbox(disk / "outbox.db", BIG, "recogniser")
    outbox.append("a", "first", BODY)
    spare = [disk / str(number) for number in range(30)]
    with pytest.raises(OSError, match="No space left"):
        sum(path.write_bytes(b"") for path in spare)
    outbox.append("b", "first", BODY)
    outbox.delete([1])
    outbox.ready()
    outbox.close()
    with pytest.raises(Unusable, match="No space left"):
        Outbox(disk / "new" / "outbox.db", BIG)
    for path in spare:
        path.unlink(missing_ok=True)
    outbox = Outbox(disk / "outbox.db", BIG)
    assert [row.hit_id for row in outbox.waiting(0, 9)] == ["b"]
    outbox.close()


def test_a_disk_that_is_read_only_when_it_is_opened_is_told_and_works_when_it_is_writable(disk: Path) -> None:
    outbox = Outbox(disk / "outbox.db", BIG)
    outbox.append("a", "first", BODY)
    outbox.close()
    assert run("mount", "-o", "remount,ro", disk)
    for path in (disk / "outbox.db", disk / "new" / "outbox.db"):
        with pytest.raises(Unusable, match="cannot be opened for writing: Read-only file system") as told:
            Outbox(path, BIG)
        assert "\n" not in str(told.value)
    assert run("mount", "-o", "remount,rw", disk)
    outbox = Outbox(disk / "outbox.db", BIG)
    assert [row.hit_id for row in outbox.waiting(0, 9)] == ["a"]
    outbox.close()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], object]]]:
    """A card with ext4, and what makes the kernel take it for broken, so that it turns read-only while it is in use."""
    image, path = tmp_path / "card.img", tmp_path / "card"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(16_000_000)
    if os.geteuid() or not (
        run("mkfs.ext4", "-q", "-F", image) and run("mount", "-o", "loop,errors=remount-ro", image, path)
    ):
        pytest.skip("only root can mount a card")
    try:
        source = subprocess.run(["findmnt", "-no", "SOURCE", path], capture_output=True, text=True, check=True).stdout
        trigger = Path("/sys/fs/ext4", Path(source.strip()).name, "trigger_fs_error")
        yield path, partial(trigger.write_text, "x")
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_card_that_turns_read_only_refuses_and_is_still_read(card: tuple[Path, Callable[[], object]]) -> None:
    path, break_it = card
    ours, theirs = Outbox(path / "outbox.db", BIG, "recogniser"), Outbox(path / "outbox.db", BIG, "publisher")
    ours.append("a", "first", BODY)
    break_it()
    refuses(ours, "the disk fails or has become read-only; check dmesg")
    with pytest.raises(OutboxFull, match="read-only"):
        theirs.delete([1])
    with pytest.raises(OutboxFull, match="read-only"):
        theirs.expire(0.0)
    assert [row.payload for row in theirs.waiting(0, 9)] == [BODY]
    assert theirs.depth().hits == 1
    theirs.version()
    ours.close()
    theirs.close()


UNIT = f"""
import sys
from pathlib import Path
from edge_anpr.unit.outbox import Outbox, OutboxError, OutboxFull
outbox = Outbox(Path(sys.argv[1]), {BIG})
print("open", flush=True)
for line in sys.stdin:
    try:
        print(repr(eval(line)), flush=True)
    except (OutboxFull, OutboxError) as error:
        print(type(error).__name__, str(error), flush=True)
"""


class Unit:
    """A process with an open outbox whose system calls can be made to fail."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", UNIT, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._log = path
        assert self.says() == "open"

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def does(self, expression: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()
        return self.says()

    def failing(self, calls: str, error: str) -> subprocess.Popen[bytes]:
        """From now on these calls fail with this error, until what is returned is ended."""
        program = shutil.which("strace")
        if program is None:
            pytest.fail("strace is missing; `make test` installs it")
        log = self._log.with_name(f"{calls} {error}")
        with log.open("wb") as said:
            tracer = subprocess.Popen(
                [program, "-f", "-p", str(self._process.pid), "-o", "/dev/null",
                 "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"],
                stderr=said,
            )  # fmt: skip
        until(lambda: b"attached" in log.read_bytes() or tracer.poll() is not None)
        assert tracer.poll() is None, f"strace may not watch processes here: {log.read_text()}"
        return tracer

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def mend(tracer: subprocess.Popen[bytes]) -> None:
    tracer.send_signal(signal.SIGINT)
    tracer.wait(5)


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    made = Unit(tmp_path / "outbox.db")
    yield made
    made.end()


@pytest.mark.parametrize(
    ("calls", "error", "words"),
    [
        ("pwrite64", "EROFS", "takes nothing: the disk fails or has become read-only"),
        ("pwrite64", "EIO", "takes nothing: the disk fails or has become read-only"),
        ("pwrite64", "ENOSPC", "takes nothing: the disk is full; free some space"),
        ("fdatasync,fsync", "EIO", "takes nothing: the disk fails or has become read-only"),
    ],
)
def test_a_failing_disk_refuses_until_it_works_again(
    unit: Unit, tmp_path: Path, calls: str, error: str, words: str
) -> None:
    append = "outbox.append('{}', 'first', b'x' * 8000)"
    assert unit.does(append.format("a")) == "None"
    tracer = unit.failing(calls, error)
    for number in range(3):
        assert unit.does(append.format(number)) == f"OutboxFull outbox {tmp_path}/outbox.db {words}" + (
            "; check dmesg, and replace the card" if "read-only" in words else ""
        )
    assert unit.does("outbox.delete([1])").startswith("OutboxFull")
    assert unit.does("[row.hit_id for row in outbox.waiting(0, 9)]") == "['a']"
    mend(tracer)
    assert unit.does("outbox.ready()") == "None"
    assert unit.does(append.format("b")) == "None"
    assert unit.does("[row.hit_id for row in outbox.waiting(0, 9)]") == "['a', 'b']"


def test_a_place_that_cannot_be_read_is_mended_by_a_new_start(unit: Unit, tmp_path: Path) -> None:
    unit.does("[outbox.append(str(number), 'first', b'x' * 30000) for number in range(200)]")
    tracer = unit.failing("pread64", "EIO")
    assert unit.does("len(outbox.waiting(0, 999))").startswith("OutboxError")
    mend(tracer)
    assert unit.does("outbox.append('c', 'first', b'')").startswith("OutboxError")
    unit.end()
    outbox = Outbox(tmp_path / "outbox.db", BIG)
    assert len(outbox.waiting(0, 999)) == 200  # the disk was well again, and nothing had to be mended
    assert outbox.mended is None
    outbox.close()
