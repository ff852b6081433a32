"""A PostgreSQL server of the tests' own, from Debian's programs: a new cluster in a temporary folder, on a socket."""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pg8000.native
import pytest

from tests.conftest import until

USER = "centre"


class Server:
    """It refuses to run as root, so root lends it the user that Debian made for it."""

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            pytest.fail("PostgreSQL is missing; `make test` installs it")
        self._bin = programs[-1].parent
        self._folder = Path(tempfile.mkdtemp(prefix="anpr-pg-"))  # short: a socket's path has 107 characters
        self._as: Mapping[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._data = self._folder / "data"
        self.socket = self._folder / ".s.PGSQL.5432"
        self._log = (self._folder / "log").open("ab")
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        atexit.register(self.stop)

    def start(self) -> None:
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self._folder)]
        for setting in ("listen_addresses=", "fsync=off", "shared_buffers=16MB", "deadlock_timeout=100ms"):
            command += ["-c", setting]
        self._running = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=self._folder, **self._as)
        until(self._answers)

    def execute(self, statement: str, database: str = "postgres") -> Any:
        with pg8000.native.Connection(USER, unix_sock=str(self.socket), database=database) as connection:
            return connection.run(statement)

    def database(self) -> str:
        """A new one; its URL."""
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql+pg8000://{USER}@/{name}?unix_sock={self.socket}"

    def end(self) -> None:
        self._running.send_signal(signal.SIGINT)  # a fast shutdown: it waits for nobody
        self._running.wait(20)

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self.end()
        self._log.close()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        assert self._running.poll() is None, (self._folder / "log").read_text("utf-8")
        try:
            self.execute("SELECT 1")
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError):
            return False
        return True

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._bin / program, *arguments]
        subprocess.run(command, check=True, stdout=self._log, stderr=self._log, cwd=self._folder, **self._as)


@cache
def server() -> Server:
    """One for all tests."""
    return Server()
