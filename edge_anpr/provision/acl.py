"""Who may write and read what at the broker: mosquitto's ACL file, one block for each name that has a certificate.

Exact names, and no ``pattern … %u``: mosquitto 2.0 puts ``org/site/unit`` into a pattern, 2.1 refuses every name with a
slash in it, and a pattern for the last part alone would let pole-07 of one site write as pole-07 of another. Exact
cameras, and no ``hit/+``: mosquitto does not limit how many messages are retained, so one stolen card could fill its
memory, and at the memory limit it throws out whoever comes next (measured: 2.0.11, 2.0.21, 2.1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

UNIT_WRITES = ("status", "birth", "health", "alarm", "stats", "arm", "ack")
UNIT_READS = ("list", "receipt", "cmd/#")
CENTRE_WRITES = ("list", "receipt", "cmd/#")

_HEAD = """\
# Written by `edge-anpr provision`; do not edit, the next command writes it anew. What is not named here is denied.
# mosquitto reads it again on SIGHUP, and then it holds for sessions that stand, too.
"""


def acl(units: Mapping[str, Iterable[str]], centres: Iterable[str]) -> str:
    """The file's text; ``units`` are names ``org/site/unit`` with their cameras."""
    lines = [_HEAD]
    for name in sorted(centres):
        lines += [f"user {name}", "topic read anpr/v1/#", "topic read $SYS/broker/#"]
        lines += [f"topic write anpr/v1/+/+/+/{end}" for end in CENTRE_WRITES]
        lines.append("")
    for name, cameras in sorted(units.items()):
        lines.append(f"user {name}")
        lines += [f"topic write anpr/v1/{name}/hit/{camera}" for camera in sorted(cameras)]
        lines += [f"topic write anpr/v1/{name}/{end}" for end in UNIT_WRITES]
        lines += [f"topic read anpr/v1/{name}/{end}" for end in UNIT_READS]
        lines.append("")
    return "\n".join(lines)
