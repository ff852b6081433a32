"""The embedded MQTT 5 broker (rumqttd, from the ``demo`` extra) for a desk; the only file that names iotcore.

It listens on this machine only, asks nobody for a password, and keeps nothing on disk: what it has acknowledged
and not yet handed on is gone when it is killed. So the supervisor never lets the publisher meet a broker to which its
subscriber is not listening yet, and the publisher sends again what was taken shortly before.
"""

from __future__ import annotations

import importlib.util
import logging
import socket
import sys
import tempfile
from pathlib import Path

from edge_anpr.errors import Unusable

ADDRESS = "127.0.0.1"
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024

_CONFIG = """
id = 0
[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 4
[v5.1]
name = "edge-anpr"
listen = "{address}:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 5000
    max_payload_size = {max_payload}
    max_inflight_count = 100
"""


def require() -> None:
    """Raise Unusable when the package that brings the broker is not installed."""
    if importlib.util.find_spec("iotcore") is None:
        raise Unusable(
            "the embedded broker is not installed: pip install 'edge-anpr[demo]', or name one under mqtt.host"
        )


def free_port() -> int:
    """A TCP port of this machine that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def serve(port: int) -> None:
    """Be the broker on ``port`` until this process is ended.

    Raises Unusable when iotcore is missing, OSError when another program has the port.
    """
    require()
    from iotcore.iotcore import IotCoreBroker  # noqa: PLC0415 - an extra

    # rumqttd marks each packet with an error span; none of it is news.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="edge-anpr-broker-") as folder:
        config = Path(folder, "rumqttd.toml")
        config.write_text(_CONFIG.format(address=ADDRESS, port=port, max_payload=MAX_PAYLOAD_BYTES), "utf-8")
        broker = IotCoreBroker(config_path=str(config))
    broker.check_ports()
    broker.run_forever()


if __name__ == "__main__":
    try:
        serve(int(sys.argv[1]))
    except OSError as error:
        sys.exit(f"broker: {error}")
