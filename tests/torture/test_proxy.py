"""The bad network does what is ordered, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import free_port, until
from tests.torture.proxy import Proxy, Way

LETTER = bytes(range(256)) * 40


class Echo:
    """Sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(65536):
                    self.heard += chunk
                    connection.sendall(chunk)
                self.ends.append("FIN")
            except ConnectionError:
                self.ends.append("RST")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port, seed=1) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as sock:
        sock.settimeout(5)
        until(lambda: proxy.connections == 1)
        yield sock


def read(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (chunk := sock.recv(65536)):
        got += chunk
    return got


def knock(port: int) -> None:
    """Connect, and wait for what comes; a reset may be there before connect() has returned."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.recv(1)


def silent(sock: socket.socket) -> bool:
    sock.settimeout(0.1)
    try:
        return sock.recv(1) is None
    except TimeoutError:
        return True
    finally:
        sock.settimeout(5)


def test_passes_everything_on_in_both_directions(client: socket.socket, proxy: Proxy) -> None:
    big = LETTER * 100  # more than is held
    threading.Thread(target=client.sendall, args=(big,)).start()

    assert read(client, len(big)) == big
    assert (proxy.repeated, proxy.corrupted) == (0, 0)


def test_an_end_is_passed_on_and_what_came_before_it_arrives(client: socket.socket, echo: Echo, proxy: Proxy) -> None:
    client.sendall(LETTER)
    client.shutdown(socket.SHUT_WR)

    assert read(client, len(LETTER) + 1) == LETTER  # and then EOF
    until(lambda: proxy.connections == 0)
    assert echo.ends == ["FIN"]


def test_delay_holds_each_direction_back_and_nothing_overtakes(client: socket.socket, proxy: Proxy) -> None:
    proxy.delay(Way.UP, 0.2)
    proxy.delay(Way.DOWN, 0.1)
    began = time.monotonic()
    client.sendall(b"first ")
    time.sleep(0.05)
    proxy.delay(Way.UP, 0.0)
    client.sendall(b"second")

    assert read(client, 12) == b"first second"
    assert time.monotonic() - began >= 0.3


def test_throttle_lets_so_many_bytes_through(client: socket.socket, proxy: Proxy) -> None:
    proxy.throttle(Way.UP, 40_000)
    began = time.monotonic()
    client.sendall(LETTER)

    assert read(client, len(LETTER)) == LETTER
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.parametrize(("reset", "said"), [(True, "RST"), (False, "FIN")])
def test_cut_ends_both_sides(client: socket.socket, echo: Echo, proxy: Proxy, reset: bool, said: str) -> None:
    client.sendall(b"before")
    assert read(client, 6) == b"before"

    proxy.cut(reset=reset)

    try:
        end = "FIN" if client.recv(1) == b"" else "bytes"
    except ConnectionResetError:
        end = "RST"
    until(lambda: echo.ends)
    assert [end, *echo.ends] == [said, said]


def test_half_open_for_ever_while_new_connections_get_through(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.freeze()
    client.sendall(b"lost")
    assert silent(client)

    with socket.create_connection(("127.0.0.1", proxy.port), 5) as second:
        second.sendall(b"new")
        assert read(second, 3) == b"new"
    assert echo.heard == b"new"

    proxy.calm()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_after_silence_all_goes_on(client: socket.socket, proxy: Proxy) -> None:
    proxy.silence(True)
    client.sendall(b"late")
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as second:  # the kernel says yes, and nobody else
        second.sendall(b"late as well")
        assert silent(client)
        assert silent(second)

        proxy.silence(False)
        assert read(client, 4) == b"late"
        assert read(second, 12) == b"late as well"


def test_repeat_sends_a_chunk_twice_and_then_no_more(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.repeat(Way.UP)
    client.sendall(b"one")
    assert read(client, 6) == b"oneone"
    client.sendall(b"two")
    assert read(client, 3) == b"two"
    assert proxy.repeated == 1


@pytest.mark.parametrize("way", list(Way))
def test_corrupt_changes_bytes_of_one_chunk_in_one_direction(
    client: socket.socket, proxy: Proxy, echo: Echo, way: Way
) -> None:
    proxy.corrupt(way)
    client.sendall(LETTER[:1000])
    got = read(client, 1000)

    changed = sum(a != b for a, b in zip(got, LETTER, strict=False))
    assert 1 <= changed <= 3
    assert (echo.heard == LETTER[:1000]) == (way is Way.DOWN)
    client.sendall(b"whole")
    assert read(client, 5) == b"whole"
    assert proxy.corrupted == 1


def test_refuses_while_it_is_told_to(proxy: Proxy) -> None:
    proxy.refuse(True)
    with pytest.raises(ConnectionResetError):
        knock(proxy.port)
    proxy.refuse(False)
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as sock:
        sock.sendall(b"x")
        assert read(sock, 1) == b"x"


def test_says_that_the_broker_is_down_as_it_would_itself() -> None:
    with Proxy(free_port()) as proxy, pytest.raises(ConnectionResetError):
        knock(proxy.port)


def test_calm_ends_every_fault_at_once(client: socket.socket, proxy: Proxy) -> None:
    proxy.throttle(Way.UP, 1)
    client.sendall(b"slow")
    assert read(client, 1) == b"s"
    for way in Way:
        proxy.delay(way, 30.0)
        proxy.corrupt(way, 9)
        proxy.repeat(way, 9)
    proxy.refuse(True)
    proxy.silence(True)
    proxy.calm()
    assert read(client, 3) == b"low"
    client.sendall(LETTER)

    assert read(client, len(LETTER)) == LETTER
