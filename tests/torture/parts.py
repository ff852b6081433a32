"""The processes of a site: started, killed, halted and let go on again."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Part:
    """One program of the site; ``fell`` are the exit codes of those starts of it that we did not end."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        self.fell: list[int] = []
        self.wanted = False
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._running is None else self._running.pid

    def said(self) -> bytes:
        """Its log, of all its starts."""
        return self.log.read_bytes() if self.log.exists() else b""

    def start(self) -> None:
        """Start it, if it does not run."""
        self.wanted = True
        if self._running is not None:
            return
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, also when it is halted."""
        self.wanted = False
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def halt(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        if self._running is not None:
            self._running.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        if self._running is not None:
            self._running.send_signal(signal.SIGCONT)

    def end(self, timeout_s: float = 30.0) -> int | None:
        """SIGTERM, and its exit code."""
        self.wanted = False
        if self._running is None:
            return None
        self._running.terminate()
        try:
            code = self._running.wait(timeout_s)
        finally:
            self.kill()
        return code

    def keep(self) -> None:
        """Start it again when it has ended by itself, as systemd would."""
        if self._running is None or (code := self._running.poll()) is None:
            return
        self._running = None
        self.fell.append(code)
        if self.wanted:
            self.start()
