"""A TCP proxy that is the bad network: it delays, throttles, cuts, goes silent, repeats and corrupts on demand.

One thread, real sockets. What it does is set from other threads while it runs, for all connections through it: give
every client that is to suffer alone a proxy of its own.
"""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

CHUNK_BYTES = 16 * 1024
# What is held back for delay or by throttle; beyond it we stop reading, and the sender feels it.
HELD_BYTES = 256 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s: close() sends RST


class Way(Enum):
    """In which direction bytes flow."""

    UP = "to the broker"
    DOWN = "from the broker"


@dataclass
class Weather:
    """How the network is in one direction: what stays so until it is changed, and what befalls the next chunk."""

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    repeat: int = 0
    """So many chunks to come are sent twice."""
    corrupt: int = 0
    """In so many chunks to come one to three bytes are changed."""


@dataclass(eq=False)
class _Flow:
    """One direction of one connection."""

    way: Way
    source: socket.socket
    sink: socket.socket
    held: deque[tuple[float, bytes]] = field(default_factory=deque)
    held_bytes: int = 0
    free_at: float = 0.0  # when a throttled line has sent what it was given
    ended: bool = False
    told: bool = False  # of the end


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    flows: tuple[_Flow, _Flow]
    frozen: bool = False


class Proxy:
    """A listener on ``port`` of 127.0.0.1 before ``upstream``, until ``close``."""

    def __init__(self, upstream: int, name: str = "way", seed: int = 0) -> None:
        self._upstream, self._name = upstream, name
        self._chance = random.Random(seed)
        self._weather = {way: Weather() for way in Way}
        self._refusing = self._silent = self._closing = False
        self._connections: list[_Connection] = []
        self._orders: deque[Callable[[], None]] = deque()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.accepted = self.repeated = self.corrupted = 0
        self.passed = dict.fromkeys(Way, 0)  # bytes
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return self._name

    @property
    def connections(self) -> int:
        """How many stand now."""
        return len(self._connections)

    def delay(self, way: Way, seconds: float) -> None:
        """Every byte comes so much later, in order."""
        self._order(lambda: setattr(self._weather[way], "delay_s", seconds))

    def throttle(self, way: Way, bytes_per_s: float | None) -> None:
        """The line takes so much and no more; None: all that comes."""
        self._order(lambda: setattr(self._weather[way], "bytes_per_s", bytes_per_s))

    def repeat(self, way: Way, chunks: int = 1) -> None:
        """The next chunks are sent twice."""
        self._order(lambda: setattr(self._weather[way], "repeat", chunks))

    def corrupt(self, way: Way, chunks: int = 1) -> None:
        """In the next chunks some bytes are changed."""
        self._order(lambda: setattr(self._weather[way], "corrupt", chunks))

    def cut(self, *, reset: bool) -> None:
        """End all connections now, by RST to both ends, or by FIN; what was held back is lost."""
        self._order(lambda: self._cut(reset=reset))

    def freeze(self) -> None:
        """Forward nothing more on the connections that stand, for ever, and keep them: half-open.

        A NAT that forgot them looks so. New connections get through.
        """
        self._order(self._freeze)

    def silence(self, silent: bool) -> None:
        """While silent, nothing is forwarded and nobody is let in: the antenna is down. Then all goes on."""
        self._order(lambda: setattr(self, "_silent", silent))

    def refuse(self, refusing: bool) -> None:
        """While refusing, connections that come are reset at once."""
        self._order(lambda: setattr(self, "_refusing", refusing))

    def calm(self) -> None:
        """No fault any more; connections that were frozen are cut."""
        self._order(self._calm)

    def close(self) -> None:
        """Cut everything and end."""
        self._order(lambda: setattr(self, "_closing", True))
        self._thread.join(10)

    def _order(self, what: Callable[[], None]) -> None:
        self._orders.append(what)
        with suppress(OSError):  # it has ended
            self._bell.send(b"!")

    def _freeze(self) -> None:
        for connection in self._connections:
            connection.frozen = True

    def _calm(self) -> None:
        self._weather = {way: Weather() for way in Way}
        self._refusing = self._silent = False
        for connection in list(self._connections):
            if connection.frozen:
                self._end(connection, reset=True)
            for flow in connection.flows:
                flow.free_at, flow.held = 0.0, deque((0.0, chunk) for _, chunk in flow.held)

    def _cut(self, *, reset: bool) -> None:
        for connection in list(self._connections):
            self._end(connection, reset=reset)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._round()
        finally:
            self._cut(reset=True)
            for one in (self._listener, self._bell, self._ear):
                one.close()

    def _round(self) -> None:
        ready = self._ready()
        if self._ear in ready:
            self._obey()
        if self._listener in ready:
            self._let_in()
        for connection in self._flowing():
            try:
                for flow in connection.flows:
                    if ready.get(flow.source, 0) & selectors.EVENT_READ:
                        self._take(flow)
                    self._give(flow)
            except OSError:
                self._end(connection, reset=True)
                continue
            if all(flow.told for flow in connection.flows):
                self._end(connection, reset=False)

    def _flowing(self) -> list[_Connection]:
        return [] if self._silent else [one for one in self._connections if not one.frozen]

    def _ready(self) -> dict[socket.socket, int]:
        """Wait until something can be done, and say with which sockets."""
        interest = {self._ear: selectors.EVENT_READ}
        if not self._silent:
            interest[self._listener] = selectors.EVENT_READ
        now, wake = time.monotonic(), None
        for flow in (flow for connection in self._flowing() for flow in connection.flows):
            if not flow.ended and flow.held_bytes < HELD_BYTES:
                interest[flow.source] = interest.get(flow.source, 0) | selectors.EVENT_READ
            if flow.held:
                due = max(flow.held[0][0], flow.free_at)
                if due <= now:
                    interest[flow.sink] = interest.get(flow.sink, 0) | selectors.EVENT_WRITE
                else:
                    wake = due if wake is None else min(wake, due)
        with selectors.DefaultSelector() as selector:
            for sock, events in interest.items():
                selector.register(sock, events)
            found = selector.select(None if wake is None else wake - now)
        return {key.fileobj: events for key, events in found if isinstance(key.fileobj, socket.socket)}

    def _obey(self) -> None:
        with suppress(BlockingIOError):
            self._ear.recv(4096)
        while self._orders:
            self._orders.popleft()()

    def _let_in(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.accepted += 1
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self._upstream), 1.0)
        except OSError:  # the broker is down: say so as it would
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flows = _Flow(Way.UP, client, server), _Flow(Way.DOWN, server, client)
        self._connections.append(_Connection(client, server, flows))

    def _take(self, flow: _Flow) -> None:
        try:
            chunk = flow.source.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            flow.ended = True
            return
        weather = self._weather[flow.way]
        if weather.corrupt:
            weather.corrupt -= 1
            self.corrupted += 1
            chunk = self._changed(chunk)
        due = time.monotonic() + weather.delay_s
        if flow.held:
            due = max(due, flow.held[-1][0])  # a delay that was taken away lets nothing overtake
        times = 1
        if weather.repeat:
            weather.repeat -= 1
            self.repeated += 1
            times = 2
        for _ in range(times):
            flow.held.append((due, chunk))
            flow.held_bytes += len(chunk)

    def _changed(self, chunk: bytes) -> bytes:
        changed = bytearray(chunk)
        for _ in range(self._chance.randint(1, 3)):
            changed[self._chance.randrange(len(changed))] ^= self._chance.randint(1, 255)
        return bytes(changed)

    def _give(self, flow: _Flow) -> None:
        rate = self._weather[flow.way].bytes_per_s
        now = time.monotonic()
        while flow.held and max(flow.held[0][0], flow.free_at) <= now:
            due, chunk = flow.held[0]
            piece = chunk if rate is None else chunk[: max(1, int(rate / 20))]
            try:
                sent = flow.sink.send(piece)
            except BlockingIOError:
                return
            flow.held_bytes -= sent
            self.passed[flow.way] += sent
            if rate is not None:
                flow.free_at = max(now, flow.free_at) + sent / rate
            if sent == len(chunk):
                flow.held.popleft()
            else:
                flow.held[0] = due, chunk[sent:]
        if flow.ended and not flow.held and not flow.told:
            flow.told = True
            flow.sink.shutdown(socket.SHUT_WR)

    def _end(self, connection: _Connection, *, reset: bool) -> None:
        self._connections.remove(connection)
        for sock in (connection.client, connection.server):
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            else:
                # Bytes that nobody read would make the kernel send RST.
                with suppress(OSError):
                    while sock.recv(CHUNK_BYTES):
                        pass
            sock.close()
