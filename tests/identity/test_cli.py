"""`countersight identity verify` keeps its exit codes and its one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_people import People, load_people
from identity.cli import main
from models.opencv import cv2


@pytest.fixture(scope="module")
def people() -> People:
    try:
        return load_people()
    except PeopleMissing as missing:
        pytest.skip(f"the demo's photographs are not fetched: {missing}")


def test_two_pictures_of_one_person_match(
    people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(people.path("person-a", number)) for number in (1, 2, 3)]
    assert main(["verify", *paths, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["decision"], shown["reasons"]) == ("ACCEPT", ["MATCH"])
    assert (shown["liveness"], shown["receipt"]) == ("not_assessed", None)
    assert shown["score"] >= shown["threshold"]
    assert shown["neg_log10_fmr"] >= 4
    steps = {"load", "read", "detect", "align", "quality", "embed", "total"}
    assert steps == set(shown["timing_ms"])


def test_another_person_does_not_match(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(people.path("person-a", 1)), str(people.path("person-b", 1))]
    assert main(["verify", *paths]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("REFER: MISMATCH 与参保人身份不符")
    assert "liveness not assessed, no receipt" in shown


def test_a_picture_without_a_face_is_named(
    people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "wall.png"
    cv2.imwrite(str(empty), np.full((300, 300, 3), 128, np.uint8))
    assert main(["verify", str(people.path("person-a", 1)), str(empty), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["decision"], shown["reasons"]) == ("RETRY", ["NO_FACE"])
    assert shown["problems"] == [{"picture": str(empty), "reason": "NO_FACE"}]
    assert shown["score"] is None


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_file_that_is_no_picture_is_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: list[str]
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("hello")
    assert main(["verify", str(text), str(tmp_path / "absent.jpg"), *as_json]) == 2
    shown = capsys.readouterr()
    assert "neither JPEG nor PNG" in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not as_json or json.loads(shown.out)["decision"] is None


def test_missing_models_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "a.jpg", "b.jpg", "--models", str(tmp_path)]) == 1
    shown = capsys.readouterr().err
    assert "countersight models install" in shown
    assert len(shown.splitlines()) == 1


def test_a_policy_with_an_unknown_key_is_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text("colour = 1\n")
    assert main(["verify", "a.jpg", "b.jpg", "--policy", str(policy)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("argv", [[], ["verify"], ["verify", "a.jpg"], ["guess"]])
def test_wrong_usage_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage" in capsys.readouterr().err
