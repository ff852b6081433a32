"""The Debian package: the same bytes wherever it is made, complete, and true to what the project says elsewhere.

What it does on a running Debian is in tests/system.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import edge_anpr
from edge_anpr.cli import main

ROOT = Path(__file__).parents[2]
DOC = Path("usr/share/doc/edge-anpr")
CODE = Path("usr/lib/python3/dist-packages/edge_anpr")
DEBIAN_NAMES = {"opencv-python-headless": "python3-opencv", "pynacl": "python3-nacl", "pyyaml": "python3-yaml"}


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8", **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    return Path(run(sys.executable, ROOT / "deploy/deb/build.py", "--out", out).strip())


@pytest.fixture(scope="module")
def tree(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package unpacked, its control files in DEBIAN/."""
    folder = tmp_path_factory.mktemp("tree") / "unpacked"
    run("dpkg-deb", "--raw-extract", deb, folder)
    return folder


@pytest.fixture(scope="module")
def fields(tree: Path) -> dict[str, str]:
    lines = (tree / "DEBIAN/control").read_text("utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if line[0] != " ")


def test_the_same_commit_gives_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    """In another folder, under another umask, in another time zone, at another time."""
    copy = tmp_path / "elsewhere"
    names = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
            (copy / name).chmod((ROOT / name).stat().st_mode & 0o700)
    (copy / ".git").symlink_to(run("git", "-C", ROOT, "rev-parse", "--absolute-git-dir").strip())
    build: list[str | Path] = [
        "sh",
        "-c",
        'umask 077; exec "$@"',
        "sh",
        sys.executable,
        copy / "deploy/deb/build.py",
        "--out",
        tmp_path,
    ]
    again = Path(run(*build, TZ="Asia/Tokyo", PYTHONPATH="", PYTHONHASHSEED="7").strip())
    assert again.name == deb.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(deb.read_bytes()).digest()


def test_it_is_small_and_lintian_finds_nothing(deb: Path) -> None:
    assert deb.stat().st_size < 4_000_000
    assert run("lintian", "--allow-root", "--fail-on", "error,warning", deb) == ""


def test_it_holds_the_whole_package_as_it_stands_here(tree: Path) -> None:
    tracked = run("git", "-C", ROOT, "ls-files", "edge_anpr").split()
    for name in [
        *tracked,
        *(f"edge_anpr/models/{kind}.{end}" for kind in ("detector", "ocr") for end in ("onnx", "json")),
    ]:
        here = ROOT / name if (ROOT / name).exists() else ROOT / name.removeprefix("edge_anpr/")
        assert (tree / CODE.parent / name).read_bytes() == here.read_bytes(), name
    assert {path.name for path in tree.iterdir()} == {"DEBIAN", "usr"}  # /etc and /var are the unit's own
    assert not list(tree.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("edge-anpr.target", "lib/systemd/system/edge-anpr.target"),
        ("edge-anpr-recogniser.service", "lib/systemd/system/edge-anpr-recogniser.service"),
        ("edge-anpr-publisher.service", "lib/systemd/system/edge-anpr-publisher.service"),
        ("edge-anpr.sysusers", "lib/sysusers.d/edge-anpr.conf"),
        ("edge-anpr.tmpfiles", "lib/tmpfiles.d/edge-anpr.conf"),
        ("edge-anpr.catalog", "lib/systemd/catalog/edge-anpr.catalog"),
        ("edge-anpr.nl.catalog", "lib/systemd/catalog/edge-anpr.nl.catalog"),
        ("recogniser-rtsp.conf", "share/doc/edge-anpr/examples/recogniser-rtsp.conf"),
    ],
)
def test_what_systemd_reads_is_in_its_place(tree: Path, source: str, target: str) -> None:
    assert (tree / "usr" / target).read_bytes() == (ROOT / "systemd" / source).read_bytes()


def test_no_file_of_systemd_is_forgotten_by_package_or_script() -> None:
    build, script = ((ROOT / name).read_text("utf-8") for name in ("deploy/deb/build.py", "deploy/venv/install"))
    for path in (ROOT / "systemd").iterdir():
        assert path.name in build
        assert path.name in script or path.suffix == ".conf"  # drop-ins are for those who need them


def test_permissions_are_those_of_a_package(tree: Path) -> None:
    runs = {"usr/bin/edge-anpr", "DEBIAN/postinst", "DEBIAN/prerm", "DEBIAN/postrm"}
    runs.add("usr/lib/python3/dist-packages/edge_anpr/provision/first_boot.sh")
    for path in tree.rglob("*"):
        mode = 0o755 if path.is_dir() or str(path.relative_to(tree)) in runs else 0o644
        assert path.stat().st_mode & 0o7777 == mode, path


def test_it_depends_on_what_the_project_depends_on(fields: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    relations = dict(re.findall(r"([a-z0-9.+-]+)(?::any)?(?: \(>= (?:\d+:)?([^)]+)\))?", fields["Depends"]))
    wanted = dict(line.split(">=") for line in project["dependencies"] if ">=" in line)
    assert relations == {
        **{DEBIAN_NAMES.get(name, f"python3-{name}"): least for name, least in wanted.items()},
        "python3": project["requires-python"].removeprefix(">="),
        "python3-systemd": "",
        "systemd": "",
    }


def test_the_version_sorts_between_releases(fields: dict[str, str]) -> None:
    version = fields["Version"]
    assert version.startswith(edge_anpr.__version__)
    if "(unreleased)" in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        assert re.fullmatch(re.escape(edge_anpr.__version__) + r"~\d{14}\.[0-9a-f]{8}(\+changed)?", version)
        run("dpkg", "--compare-versions", version, "lt", edge_anpr.__version__)


def test_the_bill_of_materials_is_valid_and_names_the_models_that_are_packed(deb: Path, tree: Path) -> None:
    text = (tree / DOC / "sbom.cdx.json").read_text("utf-8")
    assert text == deb.with_suffix(".cdx.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    components = {one["bom-ref"]: one for one in bill["components"]}
    for name in ("models/detector.onnx", "models/ocr.onnx", "demo/clip.mp4"):
        (digest,) = components[name]["hashes"]
        assert digest["content"] == hashlib.sha256((tree / CODE / name).read_bytes()).hexdigest()
        assert components[name]["licenses"]
    assert components["debian/python3-onnxruntime"]["properties"][0]["value"] == "1.21"
    assert components["debian/python3-gi"]["scope"] == "optional"


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_the_man_page_has_every_command_and_option(tree: Path) -> None:
    page = tree / "usr/share/man/man1/edge-anpr.1.gz"
    warned = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], capture_output=True, text=True, check=False
    )
    assert (warned.stderr, warned.returncode) == ("", 0)
    text = gzip.decompress(page.read_bytes()).decode().replace("\\-", "-")
    for path, command in commands(main, "edge-anpr"):
        section = re.search(rf'^\.SS "{path}[ "](.*?)(?=^\.S[SH] )', text, re.MULTILINE | re.DOTALL)
        assert section, path
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[-1] in section[1], (path, option.opts)


def test_bash_completes_commands_and_options(tree: Path, tmp_path: Path) -> None:
    program = tmp_path / "edge-anpr"
    program.write_text((tree / "usr/bin/edge-anpr").read_text("utf-8").replace("/usr/bin/python3", sys.executable))
    program.chmod(0o755)
    ask = (
        'source "$1"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        '_edge_anpr_completion edge-anpr; echo "${COMPREPLY[*]}"'
    )
    script = tree / "usr/share/bash-completion/completions/edge-anpr"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    assert run("bash", "-c", ask, "bash", script, "edge-anpr recog", **environment).split() == ["recognise"]
    assert "--no-frames" in run("bash", "-c", ask, "bash", script, "edge-anpr read --no", **environment).split()


def test_the_scripts_are_sound_shell() -> None:
    scripts = [ROOT / "deploy/deb" / name for name in ("postinst", "prerm", "postrm")]
    run("shellcheck", *scripts, ROOT / "deploy/venv/install", ROOT / "deploy/pi/bench.sh")


def test_the_units_name_a_program_that_is_packed(tree: Path) -> None:
    for unit in (tree / "usr/lib/systemd/system").glob("*.service"):
        (program,) = re.findall(r"^ExecStart=(\S+)", unit.read_text("utf-8"), re.MULTILINE)
        assert (tree / program.lstrip("/")).stat().st_mode & 0o111
