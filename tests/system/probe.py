"""Run by a service in place of its program: tries what the service should not be able to, and prints what came of it.

Arguments are deeds: names below, ``read:PATH``, ``write:FOLDER``, ``open:DEVICE``. Each answer is ``done``, the name of
an errno, or what was found; together one JSON object on one line.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000


def models() -> str:
    import numpy as np

    from edge_anpr.vision.session import Network, shipped

    network = Network(shipped("ocr"), "ocr", "ctc")
    network.run(np.zeros((1, 1, network.card.height, network.card.width), np.uint8))
    return str(network.provider)


def user_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) == -1:
        raise OSError(ctypes.get_errno(), "unshare")


def write(folder: str) -> None:
    Path(folder, "probe").write_text("x")
    Path(folder, "probe").unlink()


def socket_of(family: int, kind: int = socket.SOCK_STREAM) -> Callable[[], None]:
    return lambda: socket.socket(family, kind).close()


DEEDS: dict[str, Callable[[], object]] = {
    "inet": socket_of(socket.AF_INET),
    "inet6": socket_of(socket.AF_INET6),
    "netlink": socket_of(socket.AF_NETLINK, socket.SOCK_RAW),
    "unix": socket_of(socket.AF_UNIX),
    "write+execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "user namespace": user_namespace,
    "processes of others": lambda: sum(one.stat().st_uid != os.getuid() for one in Path("/proc").glob("[0-9]*")),
    "devices": lambda: sorted(one.name for one in Path("/dev").iterdir()),
    "/": lambda: sorted(one.name for one in Path("/").iterdir()),
    "models": models,
}
WITH_PATH: dict[str, Callable[[str], object]] = {
    "read": lambda path: os.close(os.open(path, os.O_RDONLY)),
    "open": lambda path: os.close(os.open(path, os.O_RDWR)),
    "list": os.listdir,
    "write": write,
}


def tried(deed: str) -> object:
    kind, _, path = deed.partition(":")
    try:
        done = WITH_PATH[kind](path) if path else DEEDS[deed]()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done" if done is None else done


sys.stdout.write(json.dumps({deed: tried(deed) for deed in sys.argv[1:]}) + "\n")
