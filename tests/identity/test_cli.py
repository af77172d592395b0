"""`countersight identity verify` keeps its exit codes and its one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_people import People, load_people
from identity import policy as policies
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
    assert shown.startswith("REFER: MISMATCH 与登记信息不一致")
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


# -- evaluate ----------------------------------------------------------------------------------


@pytest.fixture
def pairs(people: People, tmp_path: Path) -> list[str]:
    """A protocol over the demo's own people, pictures as they are."""
    rows = ["left,right,mated"]
    names = [("person-a", 1), ("person-a", 2), ("person-a", 3), ("person-b", 1)]
    paths = [people.path(*name) for name in names]
    for path in paths:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for left in range(4):
        for right in range(left + 1, 4):
            mated = int(names[left][0] == names[right][0])
            rows.append(f"{paths[left].name},{paths[right].name},{mated}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    return ["evaluate", str(tmp_path / "pairs.csv"), "--images", str(tmp_path)]


def test_evaluate_prints_one_object_with_its_contract(
    pairs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*pairs, "--json", "--plots", str(tmp_path / "plots")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["mated"], shown["non_mated"], shown["fta"]) == (3, 3, 0.0)
    assert shown["accuracy"] == pytest.approx(1.0)
    keys = {"fmr_target", "threshold", "fmr", "fnmr", "fnmr_ci"}
    assert [row["fmr_target"] for row in shown["points"]] == [0.1, 0.01, 0.001]
    assert all(keys <= set(row) for row in shown["points"])
    assert all(len(row["fnmr_ci"]) == 2 for row in shown["points"])
    assert {"read", "detect", "align", "quality", "embed"} <= set(shown["timing_ms"])
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "det.svg",
        "error-versus-discard.svg",
        "scores.svg",
    ]


def test_evaluate_in_words_names_every_rate(
    pairs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pairs) == 0
    shown = capsys.readouterr().out
    assert "3 同人 / mated, 3 异人 / non-mated" in shown
    assert shown.count("FNMR") >= 3
    # Three non-mated comparisons allow not even one false match at any of the targets.
    assert shown.count("too few comparisons") == 3
    assert "over 6 folds" in shown


def test_a_folder_for_plots_that_cannot_be_is_told_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    argv = ["evaluate", str(tmp_path / "no.csv"), "--images", str(tmp_path)]
    assert main([*argv, "--plots", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.jpg,b.jpg,1", "pairs.csv:2: there is no picture a.jpg in --images"),
        ("a.jpg", "pairs.csv:2: 1 columns, the first line has 3"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_bad_line_of_a_protocol_is_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, problem: str, as_json: list[str]
) -> None:
    (tmp_path / "pairs.csv").write_text(f"left,right,mated\n{row}\n")
    argv = ["evaluate", str(tmp_path / "pairs.csv"), "--images", str(tmp_path), *as_json]
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert problem in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not as_json or problem in json.loads(shown.out)["problem"]


# -- policy ------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "policy.key"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    return path


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    shipped = Path(policies.__file__).with_name("policies") / "counter-default.toml"
    path.write_bytes(shipped.read_bytes())
    return path


def test_a_policy_is_signed_and_then_checks(
    key: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "sign", str(policy_file), "--key", str(key), "--json"]) == 0
    (signed,) = json.loads(capsys.readouterr().out)["policies"]
    assert Path(signed["signature"]).name == "mine.toml.sig"
    check = ["policy", "check", str(policy_file), "--key", signed["public_key"], "--json"]
    assert main(check) == 0
    (checked,) = json.loads(capsys.readouterr().out)["policies"]
    assert checked["digest"] == signed["digest"]
    thresholds = [band["threshold"] for band in checked["thresholds"]]
    assert thresholds == sorted(thresholds)
    # One value changed after signing, and the signature does not hold.
    policy_file.write_text(policy_file.read_text().replace("frames = 4", "frames = 5"))
    assert main(check) == 2
    assert "does not hold" in capsys.readouterr().err


def test_a_policy_that_fuses_fewer_frames_than_were_calibrated_does_not_check(
    key: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verifier would refuse it: better said before a node has it."""
    policy_file.write_text(policy_file.read_text().replace("frames = 4", "frames = 3"))
    assert main(["policy", "sign", str(policy_file), "--key", str(key), "--json"]) == 0
    (signed,) = json.loads(capsys.readouterr().out)["policies"]
    assert main(["policy", "check", str(policy_file), "--key", signed["public_key"]]) == 1
    assert "4 fused frames, the policy fuses 3" in capsys.readouterr().err


def test_the_shipped_policy_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "show", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["policies"]
    assert shown["name"] == "counter-default"
    assert shown["values"]["quality"]["min_inter_eye_px"] == "60"


def test_keys_that_others_may_read_and_keys_of_another_length_are_refused(
    key: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key.chmod(0o644)
    assert main(["policy", "sign", str(policy_file), "--key", str(key)]) == 2
    assert "0644" in capsys.readouterr().err
    key.chmod(0o600)
    key.write_bytes(b"short")
    assert main(["policy", "sign", str(policy_file), "--key", str(key)]) == 2
    assert "32 bytes" in capsys.readouterr().err
    assert main(["policy", "check", str(policy_file), "--key", "12"]) == 2
    assert "64 hexadecimal" in capsys.readouterr().err
    assert not policy_file.with_name("mine.toml.sig").exists()


# -- verify by amount --------------------------------------------------------------------------


def test_the_amount_decides_the_band(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(people.path("person-a", number)) for number in (1, 2)]
    found = {}
    for amount in ("10", "5000", "any"):
        asked = [] if amount == "any" else ["--amount", amount]
        main(["verify", *paths, *asked, "--json"])
        found[amount] = json.loads(capsys.readouterr().out)
    assert found["10"]["threshold"] < found["5000"]["threshold"]
    assert found["10"]["false_match_rate_target"] == "0.0001"
    assert found["5000"]["false_match_rate_target"] == "0.00002"
    # Without an amount threshold and target are those of the least strict band, both.
    for key in ("threshold", "false_match_rate_target"):
        assert found["any"][key] == found["10"][key]


@pytest.mark.parametrize("amount", ["-1", "nan", "lots", "1e12"])
def test_an_amount_that_is_none_is_wrong_usage(
    amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "a.jpg", "b.jpg", f"--amount={amount}"]) == 2
    assert "amount" in capsys.readouterr().err
