"""The house holds: packaging, names, documentation and the front door."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

import countersight
from central.web.app import create_app as create_central
from central.web.state import WebState
from edge.config import EdgeConfig
from edge.terminal.app import create_app as create_terminal
from edge.verifier.protocol import Verifier
from retention.keyfiles import KeyDirectory
from retention.records.clock import Clock
from retention.records.fields import Frozen
from retention.records.kinds import KINDS
from retention.store.database import NodeStore
from retention.terms.reasons import REASONS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"edge", "models", "identity", "retention", "central", "hardware"}


def test_no_other_distribution_provides_one_of_our_names() -> None:
    providers = importlib.metadata.packages_distributions()
    for name in PACKAGES | {"countersight"}:
        assert set(providers.get(name, ["countersight"])) == {"countersight"}


def test_the_wheel_holds_exactly_our_packages(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == PACKAGES | {"countersight.py"}
    assert any(name.startswith("identity/calibrations/") for name in names)
    assert not [name for name in names if name.endswith((".jpg", ".png", ".onnx"))]


def test_nothing_but_the_agreed_names_stands_at_the_top() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    tops = {name.split("/")[0] for name in listed}
    beside = {"pyproject.toml", "README.md", "README.zh-CN.md", "CHANGELOG.md", "Makefile"}
    assert tops <= PACKAGES | beside | {
        "tests", "docs", ".ci", ".gitignore", "countersight.py",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(countersight.COMMANDS))
def test_every_command_has_help_and_refuses_wrong_usage_with_2(name: str) -> None:
    front = [sys.executable, "-P", "-m", "countersight", name]
    helped = subprocess.run([*front, "--help"], capture_output=True, text=True, timeout=60)
    assert helped.returncode == 0, helped.stderr
    assert "usage" in helped.stdout
    wrong = subprocess.run([*front, "--no-such-option"], capture_output=True, timeout=60)
    assert wrong.returncode == 2


def test_an_unknown_command_is_refused_with_2() -> None:
    wrong = subprocess.run(
        [sys.executable, "-P", "-m", "countersight", "nonsense"], capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert "unknown command 'nonsense'" in wrong.stderr


@pytest.mark.parametrize("command", [["identity", "verify", "a.jpg", "b.jpg"], ["demo", "--once"]])
def test_a_missing_system_library_is_one_line_with_a_remedy(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file')"
    )
    refused = subprocess.run(
        [sys.executable, "-P", "-m", "countersight", *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert refused.returncode == 2, refused.stderr
    (line,) = refused.stderr.splitlines()
    assert "libGL.so.1 is missing" in line
    assert "apt-get install libgl1" in line


def documentation() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))


def test_every_record_kind_is_documented() -> None:
    text = documentation()
    assert [kind.name for kind in KINDS if f"`{kind.name}`" not in text] == []


def test_every_route_is_documented() -> None:
    text = documentation()
    paths = set()
    for app in (terminal_app(), central_app()):
        paths |= set(app.openapi()["paths"])
    assert "/v1/sessions/{session}/settlement" in paths
    assert "/v1/nodes" in paths
    assert [path for path in sorted(paths) if path not in text] == []


@pytest.mark.parametrize("document", ["central-pages.md", "counter.md"])
def test_every_page_is_documented(document: str) -> None:
    text = (ROOT / "docs/design" / document).read_text()
    app = central_app() if document == "central-pages.md" else terminal_app()
    pages = {route.path for route in pages_of(app)}
    assert len(pages) > 10
    assert [path for path in sorted(pages) if path not in text] == []


def pages_of(app: FastAPI) -> Iterator[APIRoute]:
    """Yield the routes that are not of the API."""
    for included in app.routes:
        router = getattr(included, "original_router", None)
        for route in [included] if router is None else router.routes:
            if isinstance(route, APIRoute) and not route.include_in_schema:
                yield route


def test_both_readmes_name_the_same_commands_and_show_pages_that_are_there() -> None:
    english, chinese = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
    assert commands_in(english) == commands_in(chinese)
    assert {"make demo", "make test"} <= commands_in(english)
    for text, lang in ((english, "en"), (chinese, "zh")):
        shown = re.findall(r"\]\((docs/screens/[^)]+)\)", text)
        assert len(shown) >= 6
        assert all(path.endswith(f".{lang}.png") for path in shown)
        sizes = {path: (ROOT / path).stat().st_size for path in shown}
        assert {path: size for path, size in sizes.items() if size > 90_000} == {}


def commands_in(readme: str) -> set[str]:
    """Return every command that a reader may type, wherever it stands."""
    fenced = "\n".join(re.findall(r"^```$\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL))
    lines = [line.partition("#")[0].strip() for line in fenced.splitlines()]
    inline = re.findall(r"`((?:make|countersight|apt-get|\.venv/bin/\w+) [^`]+)`", readme)
    return {" ".join(one.split()) for one in [*lines, *inline] if one}


def terminal_app() -> FastAPI:
    """The routes of the terminal API; nothing behind them is called."""
    config = EdgeConfig.model_validate(
        {
            "node": {"agency": "a", "pharmacy": "p", "node": "n", "data": "."},
            "cameras": [{"id": "c", "scene_role": "purchase", "url": "rtsp://127.0.0.1/s"}],
            "verification": {"camera": "c"},
        }
    )
    store = mock.create_autospec(NodeStore, instance=True)
    store.clock = mock.create_autospec(Clock, instance=True)
    return create_terminal(
        store=store,
        verifier=mock.create_autospec(Verifier, instance=True),
        keys=mock.create_autospec(KeyDirectory, instance=True),
        config=config,
    )


def central_app() -> FastAPI:
    return create_central(mock.create_autospec(WebState, instance=True))


def test_every_setting_of_a_node_is_documented() -> None:
    text = (ROOT / "docs/design/configuration.md").read_text()
    assert [name for name in _settings(EdgeConfig, "") if f"`{name}`" not in text] == []


def _settings(tree: type[Frozen], prefix: str) -> list[str]:
    found = []
    for name, field in tree.model_fields.items():
        inner = [
            part
            for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(part, type) and issubclass(part, Frozen)
        ]
        found += _settings(inner[0], f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return found


def test_reason_codes_are_unique_and_speak_chinese() -> None:
    codes = [reason.code for reason in REASONS]
    assert len(codes) == len(set(codes))
    for reason in REASONS:
        assert re.search("[一-鿿]", reason.zh), reason.code
        assert reason.en
        assert bool(reason.do_zh) == bool(reason.do_en), reason.code


def test_every_invariant_has_a_line_in_the_documents() -> None:
    text = documentation()
    assert [number for number in range(1, 12) if f"Invariant {number}" not in text] == []
