#!/usr/bin/env python3
"""Make dist/edge-anpr_VERSION_all.deb and its bill of materials. Prints the path; size and hash go to stderr.

A staged tree and dpkg-deb, not debhelper: what is in the wheel is what is in the package, so there is one list of
files; and the same commit gives the same bytes, wherever, whenever and under whatever umask it is built.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import manpage
import sbom
from click.shell_completion import BashComplete

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DOC = "usr/share/doc/edge-anpr"
UNITS = ("edge-anpr.target", "edge-anpr-recogniser.service", "edge-anpr-publisher.service")
PLACES = {
    **{f"systemd/{unit}": f"usr/lib/systemd/system/{unit}" for unit in UNITS},
    "systemd/edge-anpr.sysusers": "usr/lib/sysusers.d/edge-anpr.conf",
    "systemd/edge-anpr.tmpfiles": "usr/lib/tmpfiles.d/edge-anpr.conf",
    "systemd/edge-anpr.catalog": "usr/lib/systemd/catalog/edge-anpr.catalog",
    "systemd/edge-anpr.nl.catalog": "usr/lib/systemd/catalog/edge-anpr.nl.catalog",
    "systemd/recogniser-rtsp.conf": f"{DOC}/examples/recogniser-rtsp.conf",
    "systemd/recogniser-jetson.conf": f"{DOC}/examples/recogniser-jetson.conf",
    "config.example.yaml": f"{DOC}/examples/config.example.yaml",
    "deploy/deb/copyright": f"{DOC}/copyright",
    "deploy/deb/lintian-overrides": "usr/share/lintian/overrides/edge-anpr",
}
PROGRAM = "#!/usr/bin/python3\nfrom edge_anpr.cli import main\n\nmain()\n"


def main() -> None:
    """Build, and say what came out."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=ROOT / "dist")
    out: Path = options.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edge-anpr-deb-") as folder:
        deb = build(Path(folder), out)
    raw = deb.read_bytes()
    print(f"{len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}", file=sys.stderr)
    print(deb)


def build(work: Path, out: Path) -> Path:
    """The package, made in ``work``; its bill of materials lies beside it in ``out``."""
    epoch_s = int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch_s)
    tree, code = work / "tree", work / "tree/usr/lib/python3/dist-packages"
    _unpack_wheel(work, code)
    python_version = _version_of(code / "edge_anpr/__init__.py")
    version = python_version + _between_releases(epoch_s)
    for source, target in PLACES.items():
        _put(tree / target, (ROOT / source).read_bytes())
    for page in sorted((ROOT / "docs").glob("*.md")):
        _put(tree / DOC / "docs" / page.name, page.read_bytes())
    _put(tree / "usr/bin/edge-anpr", PROGRAM.encode())
    _put(tree / DOC / "CHANGELOG.md.gz", _packed((ROOT / "CHANGELOG.md").read_text("utf-8")))
    _put(tree / DOC / "changelog.gz", _packed(_changelog(version, epoch_s)))

    sys.dont_write_bytecode = True
    sys.path.insert(0, str(code))
    from edge_anpr import cli  # noqa: PLC0415 - the one that is packed

    date = datetime.fromtimestamp(epoch_s, UTC)
    man = manpage.page(cli.main, version=version, date=f"{date:%Y-%m-%d}")
    _put(tree / "usr/share/man/man1/edge-anpr.1.gz", _packed(man))
    completion = BashComplete(cli.main, {}, "edge-anpr", "_EDGE_ANPR_COMPLETE").source()
    _put(tree / "usr/share/bash-completion/completions/edge-anpr", completion.encode())

    control = _unfolded((HERE / "control").read_text("utf-8")).replace("@VERSION@", version)
    bill = sbom.document(
        code / "edge_anpr", version=version, python_version=python_version, epoch_s=epoch_s, fields=_fields(control)
    )
    bill_text = (json.dumps(bill, indent=1) + "\n").encode()
    _put(tree / DOC / "sbom.cdx.json", bill_text)

    files = sorted(path for path in tree.rglob("*") if path.is_file())
    sums = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files)  # noqa: S324
    size_kb = sum(-(-path.stat().st_size // 1024) for path in files)
    _put(tree / "DEBIAN/control", control.replace("@INSTALLED_SIZE@", str(size_kb)).encode())
    _put(tree / "DEBIAN/md5sums", sums.encode())
    for script in ("postinst", "prerm", "postrm"):
        _put(tree / "DEBIAN" / script, (HERE / script).read_bytes())
    _same_everywhere(tree, epoch_s)

    deb = out / f"edge-anpr_{version}_all.deb"
    # More threads would cut the data into other blocks.
    dpkg_deb: list[str | Path] = [
        "dpkg-deb",
        "--root-owner-group",
        "-Zxz",
        "-z9",
        "--threads-max=1",
        "--build",
        tree,
        deb,
    ]
    subprocess.run(dpkg_deb, check=True, stdout=sys.stderr)
    deb.with_suffix(".cdx.json").write_bytes(bill_text)
    return deb


def _unpack_wheel(work: Path, target: Path) -> None:
    hatch = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work)]
    subprocess.run(hatch, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(target)
    (info,) = target.glob("*.dist-info")
    (info / "RECORD").unlink()  # dpkg knows the files, and pip has to leave them alone
    shutil.rmtree(info / "licenses")  # in copyright
    _put(info / "INSTALLER", b"debian\n")


def _version_of(module: Path) -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', module.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{module}: names no __version__")
    return found[1]


def _between_releases(epoch_s: int) -> str:
    """Nothing for a release; until then what sorts by time, before the release and after the one before."""
    newest = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    changed = "+changed" if _git("status", "--porcelain") else ""
    if newest and not newest[1].endswith("(unreleased)"):
        return changed
    return f"~{datetime.fromtimestamp(epoch_s, UTC):%Y%m%d%H%M%S}.{_git('rev-parse', '--short=8', 'HEAD')}{changed}"


def _git(*words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _changelog(version: str, epoch_s: int) -> str:
    maintainer = _fields((HERE / "control").read_text("utf-8"))["Maintainer"]
    date = format_datetime(datetime.fromtimestamp(epoch_s, UTC))
    return f"edge-anpr ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {maintainer}  {date}\n"


def _fields(control: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in _unfolded(control).splitlines() if line[0] != " ")


def _unfolded(control: str) -> str:
    return control.replace(",\n ", ", ")


def _packed(text: str) -> bytes:
    return gzip.compress(text.encode(), 9, mtime=0)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _same_everywhere(tree: Path, epoch_s: int) -> None:
    runs = {tree / "usr/bin/edge-anpr", *(tree / "DEBIAN" / name for name in ("postinst", "prerm", "postrm"))}
    runs |= set(tree.rglob("*.sh"))
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path in runs else 0o644)
        os.utime(path, (epoch_s, epoch_s))


if __name__ == "__main__":
    main()
