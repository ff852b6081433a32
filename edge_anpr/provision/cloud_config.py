"""What cloud-init reads at a first boot: ``user-data``, ``network-config``, and a connection of NetworkManager.

As Raspberry Pi Imager writes it for Raspberry Pi OS since trixie, and as Debian's cloud images take it (NoCloud). No
secret stands in ``user-data``: cloud-init keeps copies of it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any

import yaml

FIRST_BOOT = "/usr/local/sbin/edge-anpr-first-boot"
_SCRIPT = Path(__file__).with_name("first_boot.sh")

_FILES = {
    # sshd takes the first value that it finds, so this comes before Debian's and cloud-init's 50-.
    "/etc/ssh/sshd_config.d/10-edge-anpr.conf": """\
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
""",
    # journald takes the last value: Raspberry Pi OS says volatile in its 40-. A unit that restarts by itself should be
    # able to say why, and no plate is in the journal.
    "/etc/systemd/journald.conf.d/90-edge-anpr.conf": """\
[Journal]
Storage=persistent
SystemMaxUse=64M
SystemKeepFree=256M
MaxRetentionSec=1month
""",
    # Raspberry Pi OS swaps to compressed memory and from there to a file.
    "/etc/rpi/swap.conf.d/90-edge-anpr.conf": "[Main]\nMechanism=none\n",
    "/etc/systemd/system/edge-anpr-first-boot.service": f"""\
[Unit]
Description=edge-anpr: take what lies on the card, once
After=network.target
# The network may come late, and nobody stands at the pole.
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={FIRST_BOOT}
Restart=on-failure
RestartSec=30
""",
    # So that a start that was cut off goes on with the next one. The script takes this away when it is through.
    "/etc/systemd/system/multi-user.target.d/edge-anpr-first-boot.conf": "[Unit]\nWants=edge-anpr-first-boot.service\n",
}


@dataclass(frozen=True, slots=True)
class Wired:
    """The cable: DHCP, or an address of its own with what belongs to it."""

    address: IPv4Interface | IPv6Interface | None = None
    gateway: IPv4Address | IPv6Address | None = None
    dns: tuple[IPv4Address | IPv6Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Wifi:
    """A wireless network; ``key`` is the one that WPA makes of a passphrase, as 64 hex digits."""

    ssid: str
    key: str = field(repr=False)
    country: str


@dataclass(frozen=True, slots=True)
class Mobile:
    """A modem's network."""

    apn: str
    pin: str | None = field(repr=False)


def wifi_key(ssid: str, passphrase: str) -> str:
    """What WPA makes of the passphrase (IEEE 802.11i, H.4): it opens this network only."""
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid.encode(), 4096, 32).hex()


def user_data(
    hostname: str, user: str, ssh_keys: Sequence[str], time_servers: Sequence[str], files: Mapping[str, str]
) -> bytes:
    """The host, its one user, and what starts the taking; ``files`` are more files of the unit, by path."""
    texts = _FILES | dict(files) | {FIRST_BOOT: _SCRIPT.read_text("utf-8")}
    values: dict[str, Any] = {
        "hostname": hostname,
        "manage_etc_hosts": "localhost",
        "users": [
            {
                "name": user,
                "groups": ["adm", "sudo", "video"],
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": list(ssh_keys),
            }
        ],
        "ssh_pwauth": False,
        "disable_root": True,
    }
    if time_servers:
        values["ntp"] = {"enabled": True, "ntp_client": "systemd-timesyncd", "servers": list(time_servers)}
    values["write_files"] = [
        {"path": path, "permissions": "0755" if path == FIRST_BOOT else "0644", "content": text}
        for path, text in texts.items()
    ]
    values["runcmd"] = [
        ["systemctl", "daemon-reload"],
        ["systemctl", "start", "--no-block", "edge-anpr-first-boot.service"],
    ]
    return b"#cloud-config\n" + _yaml(values)


def network_config(wired: Wired, wifi: Wifi | None) -> bytes:
    """The cable and the wireless network; nothing waits for either."""
    cable: dict[str, Any] = {"match": {"name": "e*"}, "optional": True}
    if wired.address is None:
        cable |= {"dhcp4": True, "dhcp6": True}
    else:
        cable |= {"dhcp4": False, "addresses": [str(wired.address)]}
    if wired.gateway is not None:
        cable["routes"] = [{"to": "default", "via": str(wired.gateway)}]
    if wired.dns:
        cable["nameservers"] = {"addresses": [str(one) for one in wired.dns]}
    network: dict[str, Any] = {"version": 2, "ethernets": {"cable": cable}}
    if wifi is not None:
        network["wifis"] = {
            "wlan0": {
                "dhcp4": True,
                "optional": True,
                "regulatory-domain": wifi.country,
                "access-points": {wifi.ssid: {"password": wifi.key}},
            }
        }
    return _yaml({"network": network})


def connection(mobile: Mobile) -> bytes:
    """The modem's connection, as NetworkManager keeps it; it is tried for ever."""
    pin = "" if mobile.pin is None else f"pin={mobile.pin}\n"
    return f"""\
[connection]
id=edge-anpr-4g
uuid={uuid.uuid5(uuid.NAMESPACE_DNS, "edge-anpr-4g")}
type=gsm
autoconnect-retries=0

[gsm]
apn={mobile.apn}
{pin}
[ipv4]
method=auto

[ipv6]
method=auto
""".encode()


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stand as such: a person may read what a card does."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(values: dict[str, Any]) -> bytes:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000).encode()
