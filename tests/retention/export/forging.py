"""What somebody with an export, or with the node's own key, could do to it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from retention.export import verify
from retention.export.archive import ArchiveWriter
from retention.export.build import Manifest
from retention.export.verify import Report
from retention.records.canonical import canonical_bytes
from retention.records.signing import Context, Ed25519Signer

Files = dict[str, bytes]


def files_of(path: Path) -> Files:
    """Return the contents of an export, in order."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as an archive of the one accepted form, whatever they say."""
    path.unlink(missing_ok=True)
    with ArchiveWriter(path) as archive:
        for name, content in files.items():
            archive.add(name, content)
        archive.finish()
        archive.publish()
    return path


def signed_again(
    path: Path,
    files: Files,
    signer: Ed25519Signer,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Path:
    """Write changed files with a manifest that fits them, signed by a key."""
    manifest = json.loads(files[verify.MANIFEST])
    rest = {name: raw for name, raw in files.items() if not name.startswith("manifest.")}
    manifest["files"] = [
        {"name": name, "bytes": len(raw), "sha256": verify.hashlib.sha256(raw).hexdigest()}
        for name, raw in rest.items()
    ]
    change(manifest)
    made = Manifest.model_validate(manifest)
    signature = signer.sign(Context.EXPORT, made)
    rest[verify.MANIFEST] = canonical_bytes(made.model_dump(mode="json"))
    rest[verify.SIGNATURE] = canonical_bytes(signature.model_dump(mode="json"))
    return archive_of(path, rest)


def lines_of(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.splitlines()]


def joined(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(canonical_bytes(line) + b"\n" for line in lines)


def examined(path: Path, **keys: bytes) -> Report:
    return verify.Export(str(path), **keys).examine()


def codes(report: Report) -> set[str]:
    return {one["code"] for one in report.bad}


def subjects(report: Report) -> set[str]:
    return {one["subject"] for one in report.bad}
