"""systemd's own tools, its Python package, and the socket on which it hears from services."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import until

SHIPPED = Path(__file__).parents[2] / "systemd"
PYTHON3_SYSTEMD = Path("/usr/lib/python3/dist-packages/systemd")


def tool(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.fail(f"{name} is missing; `make test` installs systemd")
    return program


@pytest.fixture(scope="session")
def systemd_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH in which Debian's package lies, and nothing else of Debian's."""
    if not PYTHON3_SYSTEMD.is_dir():
        pytest.fail("python3-systemd is missing; `make test` installs it")
    folder = tmp_path_factory.mktemp("python3-systemd")
    (folder / "systemd").symlink_to(PYTHON3_SYSTEMD)
    loads = subprocess.run(
        [sys.executable, "-c", "import systemd.daemon, systemd.journal"], env={"PYTHONPATH": str(folder)}, check=False
    )
    if loads.returncode:
        pytest.skip("python3-systemd is for Debian's Python, and this is another version")
    return folder


class NotifySocket:
    """Where systemd would listen; ``heard``: what came, and when (monotonic)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._heard: list[tuple[float, str]] = []

    def heard(self, begins: str = "") -> list[tuple[float, str]]:
        while True:
            try:
                words = self._socket.recv(4096).decode()
            except BlockingIOError:
                return [(at, said) for at, said in self._heard if said.startswith(begins)]
            self._heard.append((time.monotonic(), words))

    def next(self, words: str) -> None:
        """Wait until it comes (again)."""
        before = len(self.heard(words))
        until(lambda: len(self.heard(words)) > before, 5)

    def environment(self, python: Path, watchdog_s: float) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": f"{python}:{Path.cwd()}",
            "NOTIFY_SOCKET": str(self._path),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notify_socket(tmp_path: Path) -> Iterator[NotifySocket]:
    made = NotifySocket(tmp_path / "notify")
    yield made
    made.close()
