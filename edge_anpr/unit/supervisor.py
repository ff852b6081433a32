"""A whole unit on one machine: recogniser, publisher and, if the config names none, a broker.

The order is the promise: broker, then the subscriber of this process, then publisher and recogniser, so that a
hit never meets a broker to which nobody listens. When the embedded broker dies, the publisher is ended too and
the order begins anew; what was not acknowledged waits in the outbox meanwhile.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_anpr.config import Config
from edge_anpr.unit import broker as embedded
from edge_anpr.unit.mqtt import Connected, Down, Link, Received
from edge_anpr.unit.outbox import Outbox
from edge_anpr.unit.publisher import link_to

POLL_S = 0.1
KILL_AFTER_S = 1.5
DRAIN_S = 10.0
LISTEN_S = 3.0
BACKOFF_S = (0.5, 30.0)
STEADY_S = 30.0
EXIT_MEND = 2
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last when its terminal is closed
RECOGNISE, PUBLISH = ["edge_anpr", "recognise"], ["edge_anpr", "publish"]

# Run by each child before anything else: the kernel ends it when its parent is gone, however that came about. Not a
# preexec_fn, which may deadlock in a process that has threads.
_CHILD = """
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
module, sys.argv[:] = sys.argv[2], sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

_log = logging.getLogger(__name__)


def run(config_path: Path, config: Config, on_message: Callable[[str, bytes], None]) -> int:
    """Run everything until SIGINT or SIGTERM; ``on_message`` (topic, payload) gets what the unit publishes.

    Returns 0, or the exit code of a child that cannot go on: 2 when a person must mend something. A recogniser that
    ends by itself with 0 (a clip is over) ends everything with 0, once the hits are delivered. Raises Unusable without
    a broker to embed, or with unusable TLS files.
    """
    address = None
    if config.mqtt.host is None:
        embedded.require()
        address = (embedded.ADDRESS, embedded.free_port())
    return _Unit(config_path, config, address, on_message).run()


@dataclass(slots=True)
class Child:
    """A process that is wanted: its name, and the module and arguments that Python runs in it."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    not_before: float = 0.0
    began: float = field(default=0.0, repr=False)

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches it through the supervisor only."""
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(os.getpid()), *self.command],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ended(self) -> int | None:
        """The exit code (minus a signal's number) when it has just ended by itself, else None."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        steady = time.monotonic() - self.began >= STEADY_S
        self.failures = 1 if steady else self.failures + 1
        wait_s = min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** min(self.failures - 1, 10))
        self.not_before = time.monotonic() + wait_s
        return code

    def end(self) -> None:
        """Ask it to end; ``finish`` waits for that."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End it without asking."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def finish(self, deadline: float) -> None:
        """Wait for its end until ``deadline`` (monotonic), then kill it."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None


class _Unit:
    def __init__(
        self,
        config_path: Path,
        config: Config,
        address: tuple[str, int] | None,
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self._config, self._on_message = config, on_message
        there = [] if address is None else ["--broker", f"{address[0]}:{address[1]}"]
        self._link = _viewer(config, address)
        self._broker = None if address is None else Child("broker", [embedded.__name__, str(address[1])])
        self._recogniser = Child("recogniser", [*RECOGNISE, "-c", str(config_path)])
        self._publisher = Child("publisher", [*PUBLISH, "-c", str(config_path), *there])
        self._listening = self._ready = self._stopping = False
        self._began = time.monotonic()
        self._complaint: str | None = None

    def run(self) -> int:
        before = {number: signal.signal(number, self._stop) for number in ENDS}
        try:
            code = None
            while code is None and not self._stopping:
                code = self._turn()
                self._wait()
            if code == 0:
                self._drain()
            return code or 0
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True  # and no more: a lock taken here may be one that the main thread holds

    def _wait(self) -> None:
        if self._link is None:
            time.sleep(POLL_S)
        else:
            self._link.wait(POLL_S)

    def _turn(self) -> int | None:
        """Keep everything running; the exit code when that makes no sense any more."""
        self._hear()
        for child in (self._broker, self._recogniser, self._publisher):
            code = child.ended() if child else None
            if child is None or code is None:
                continue
            if child is self._recogniser and code == 0:
                return 0
            if code == EXIT_MEND and child is not self._broker:
                return code
            _log.warning(
                "the %s ended with %s; starting it again in %.1f s",
                child.name,
                f"exit code {code}" if code >= 0 else f"signal {-code}",
                child.not_before - time.monotonic(),
            )
            if child is self._broker:
                self._deafen()
        if self._broker and self._want(self._broker) and self._link:
            self._link.renew()  # it starts within a second, and has no fleet to fear
        # A broker of our own has to have our subscriber first; another one may be away, or refuse it.
        late = self._link is None or self._complaint is not None or time.monotonic() - self._began > LISTEN_S
        waited = self._broker is None and late
        self._ready = self._ready or self._listening or waited
        if self._ready:
            self._want(self._recogniser)
            if self._listening or self._broker is None:
                self._want(self._publisher)
        return None

    def _deafen(self) -> None:
        """Nobody of ours listens now. Killing the publisher costs nothing: what is not acknowledged, it keeps."""
        self._listening = False
        if self._broker is not None:
            self._publisher.kill()

    def _want(self, child: Child) -> bool:
        """Start it if it does not run and may; whether it has been started."""
        if child.process is not None or time.monotonic() < child.not_before:
            return False
        child.start()
        return True

    def _hear(self) -> None:
        if self._link is None or (self._broker is not None and self._broker.process is None):
            return
        for event in self._link.advance():
            if isinstance(event, Received):
                self._on_message(event.topic, event.payload)
            elif isinstance(event, Connected):
                self._listening, self._complaint = True, None
            elif isinstance(event, Down):
                self._lose(event)

    def _lose(self, event: Down) -> None:
        starting = self._broker is not None and not self._listening
        self._deafen()
        if not starting and event.reason != self._complaint:
            _log.warning("cannot listen to the broker: %s", event.reason)
        self._complaint = event.reason

    def _drain(self) -> None:
        """Let the publisher deliver what waits; a broker that is away does not keep us."""
        outbox = Outbox(self._config.delivery.outbox, self._config.delivery.max_megabytes * 1_000_000)
        try:
            deadline = time.monotonic() + DRAIN_S
            while not self._stopping and time.monotonic() < deadline:
                self._wait()
                self._hear()
                if outbox.depth().hits == 0:
                    deadline = min(deadline, time.monotonic() + 0.5)
        finally:
            outbox.close()

    def _end(self) -> None:
        deadline = time.monotonic() + KILL_AFTER_S
        children = [child for child in (self._recogniser, self._publisher) if child.process]
        for child in children:
            child.end()
        for child in children:
            child.finish(deadline)
        self._hear()  # what the publisher said last
        if self._link is not None:
            self._link.close()
        if self._broker is not None:
            self._broker.kill()  # it has nothing to put in order


def _viewer(config: Config, address: tuple[str, int] | None) -> Link | None:
    """Who listens in this process; nobody where the certificate is the client's name, and there is only one."""
    if address is None and config.mqtt.tls is not None and config.mqtt.tls.certificate is not None:
        _log.info("a broker may know this unit by its certificate, as one client; so no messages are shown here")
        return None
    return Link(link_to(config, address, "-view"), subscribe=[f"{config.topic}/#"])
