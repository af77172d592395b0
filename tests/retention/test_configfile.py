"""A configuration file is refused in one line that names file, key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import EdgeConfig
from retention.configfile import ConfigRefused, load

GOOD = """
[node]
agency = "430100"
pharmacy = "P43010000001"
node = "n1"
data = "/tmp/n1"
[[cameras]]
id = "counter"
scene_role = "purchase"
url = "rtsp://admin:secret@192.0.2.1/stream"
[verification]
camera = "counter"
"""


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "edge.toml"
    path.write_text(text)
    with pytest.raises(ConfigRefused) as refused:
        load(path, EdgeConfig)
    said = str(refused.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    assert "secret" not in said
    return said


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD)
    assert load(path, EdgeConfig).recording.segment_seconds == 60


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("agency =", "agencyy =", "node.agencyy: unknown key 'agencyy'; allowed here: agency,"),
        ("url =", "urll =", "cameras.0.urll: unknown key"),
        ("[verification]", "[verify]", "verify: unknown key 'verify'"),
        ('node = "n1"', "", "node.node: Field required"),
        ('"purchase"', '"bathroom"', "cameras.0.scene_role: Input should be 'purchase'"),
        ('"rtsp://', '"http://', "cameras.0.url"),
        ('camera = "counter"', 'camera = "desk"', "'desk' is none of counter"),
        ("[node]", "[recording]\nsegment_seconds = 1\n[node]", "greater than or equal to 2"),
        ("[node]", '[settlement]\nmode = "node"\n[node]', "needs platform_url"),
        ("[node]", "[node", "not TOML"),
        ("[node]", "[session]\nauthorisation_seconds = 601\n[node]", "less than or equal to 600"),
    ],
)
def test_a_refusal_names_the_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert named in refusal(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    "address",
    [
        "http://admin:secret@192.0.2.1/stream",
        "http://admin:other/secret@192.0.2.1/stream",
        "http://admin:p@secret@192.0.2.1/stream",
        "http://192.0.2.1/stream?user=admin&password=secret",
        "rtsp:/admin:secret@192.0.2.1/stream",
        "admin:secret@192.0.2.1/stream",
    ],
)
@pytest.mark.parametrize("other", ["", 'sub_url = "file:///film.mp4"'])
def test_an_address_that_is_refused_is_not_repeated(
    tmp_path: Path, address: str, other: str
) -> None:
    text = GOOD.replace("rtsp://admin:secret@192.0.2.1/stream", address)
    said = refusal(tmp_path, text.replace("[verification]", f"{other}\n[verification]"))
    assert "cameras.0.url" in said
    rtsp = GOOD.replace("[verification]", 'sub_url = "file:///film.mp4"\n[verification]')
    assert "needs simulated = true" in refusal(tmp_path, rtsp)


@pytest.mark.parametrize("key", [" " * 40, "k" * 39 + "~", "中" * 40, "k" * 41])
def test_a_key_that_is_none_of_curve_is_refused(tmp_path: Path, key: str) -> None:
    central = f"""
[central]
endpoint = "tcp://192.0.2.1:1"
server_key = "{key}"
signing_key = "{"ab" * 32}"
"""
    assert "central.server_key: " in refusal(tmp_path, GOOD + central)


def test_two_cameras_of_one_name_are_refused(tmp_path: Path) -> None:
    camera = GOOD[GOOD.index("[[cameras]]") : GOOD.index("[verification]")]
    assert "camera id 'counter' is used twice" in refusal(tmp_path, GOOD + camera)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match=r"nothere\.toml: No such file"):
        load(tmp_path / "nothere.toml", EdgeConfig)
