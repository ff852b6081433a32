"""The package: built, made into a later one, and put into a container by apt, as a technician does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.system.container import Container

BUILD = Path(__file__).parents[2] / "deploy" / "deb" / "build.py"


def build(folder: Path) -> Path:
    """What ``make deb`` makes."""
    subprocess.run([sys.executable, BUILD, "--out", folder], check=True)
    (made,) = folder.glob("*.deb")
    return made


def later(package: Path, folder: Path) -> Path:
    """The same as a later version."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub("^(Version: .*)$", r"\1+later", control.read_text(), flags=re.MULTILINE))
    made = folder / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, made], check=True)
    return made


def install(at: Container, package: Path) -> str:
    """Without a network: all that it depends on is there."""
    name = f"/root/{package.name}"
    at.path(name).write_bytes(package.read_bytes())
    said = at.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", name, timeout_s=300)
    at.path(name).unlink()
    return said
