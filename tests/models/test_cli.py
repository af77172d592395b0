"""`countersight models` keeps its exit codes and its one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.cli import main
from models.manifest import KNOWN, MANIFESTS


def test_list_shows_licences_and_the_notice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(m.licence.text in shown for m in MANIFESTS)
    assert "non-commercial research only" in shown


def test_list_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [m["name"] for m in models] == [m.name for m in KNOWN]
    assert [m["contract_id"] for m in models] == [m.contract_id for m in KNOWN]
    assert all(m["licence"] and m["training_data"] and m["input"] for m in models)
    assert {m["name"] for m in models if m["in_use"]} >= {m.name for m in MANIFESTS}


def test_verify_passes_on_the_installed_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--json"]) == 0
    assert all(m["ok"] for m in json.loads(capsys.readouterr().out)["models"])


def test_verify_of_an_empty_folder_fails_with_one_line_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--folder", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(MANIFESTS)
    assert all("countersight models install" in line for line in lines)


def test_install_from_nowhere_fails_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["install", "--folder", str(tmp_path / "m"), "--from", str(tmp_path / "no.whl")]
    assert main([*arguments, "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["problem"] in shown.err
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("argv", [[], ["polish"], ["list", "--colour"]])
def test_wrong_usage_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage" in capsys.readouterr().err
