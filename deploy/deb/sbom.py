"""The package's bill of materials (CycloneDX 1.6): what is in it, what it needs of Debian, under which licences."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "edge-anpr.sbom")
_RELATION = re.compile(r"([a-z0-9.+-]+)(?::any)?(?: \(>= ([^)]+)\))?$")


def document(package: Path, *, version: str, python_version: str, epoch_s: int, fields: dict[str, str]) -> Json:
    """The same content gives the same document, its serial number included.

    ``package`` is the installed folder ``edge_anpr``, ``fields`` the control file's relations by their name.
    """
    purl = f"pkg:deb/edge-anpr@{version}?arch=all"
    parts = [
        {
            "type": "library",
            "bom-ref": "edge_anpr",
            "name": "edge-anpr",
            "version": python_version,
            "purl": f"pkg:pypi/edge-anpr@{python_version}",
            "licenses": _licence("MIT"),
        },
        *(_model(path) for path in sorted((package / "models").glob("*.onnx"))),
        {
            "type": "data",
            "bom-ref": "demo/clip.mp4",
            "name": "demo/clip.mp4",
            "description": "The demo's road; its sources stand in demo/CREDITS.md",
            "hashes": _hashes(package / "demo" / "clip.mp4"),
            "licenses": _licence("CC-BY-4.0"),
        },
    ]
    needed = [_debian(relation, "required") for relation in _relations(fields["Depends"])]
    optional = [_debian(relation, "optional") for relation in _relations(fields["Suggests"])]
    made: Json = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": purl,
                "name": "edge-anpr",
                "version": version,
                "purl": purl,
                "licenses": _licence("MIT"),
            },
        },
        "components": [*parts, *needed, *optional],
        "dependencies": [
            {"ref": purl, "dependsOn": [part["bom-ref"] for part in parts]},
            {"ref": "edge_anpr", "dependsOn": [part["bom-ref"] for part in needed]},
        ],
    }
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return {**made, "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}"}


def _model(path: Path) -> Json:
    card = json.loads(path.with_suffix(".json").read_bytes())
    return {
        "type": "machine-learning-model",
        "bom-ref": f"models/{path.name}",
        "name": f"models/{path.name}",
        "hashes": _hashes(path),
        "licenses": _licence(card["licence"]),
    }


def _debian(relation: str, scope: str) -> Json:
    named = _RELATION.match(relation)
    if named is None:
        raise ValueError(f"control: {relation}: this script knows NAME and NAME (>= VERSION) only")
    name, least = named.groups()
    made: Json = {"type": "library", "bom-ref": f"debian/{name}", "name": name, "scope": scope}
    made["purl"] = f"pkg:deb/debian/{name}"
    if least:
        made["properties"] = [{"name": "edge-anpr:least-version", "value": least}]
    return made


def _relations(field: str) -> list[str]:
    return [relation.strip() for relation in field.split(",")]


def _hashes(path: Path) -> list[Json]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def _licence(spdx: str) -> list[Json]:
    return [{"license": {"id": spdx}}]
