"""The pairing link: where the terminal listens, as an SVG and on a console."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.terminal.qr import pairing_console, pairing_link, pairing_svg
from tests.edge.counter_kit import config_for

LINK = "https://10.0.0.7:7312/?code=01234567"


def running(data: Path, content: object) -> None:
    (data / "run").mkdir()
    (data / "run" / "terminal.json").write_text(json.dumps(content))


def test_without_a_lan_listener_the_link_is_this_machine(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    assert pairing_link(config, "01234567") == "http://127.0.0.1:7311/?code=01234567"
    assert pairing_link(config, "1", port=4000) == "http://127.0.0.1:4000/?code=1"
    running(tmp_path, {"loopback": ["127.0.0.1", 5001], "lan": None})
    assert pairing_link(config, "1") == "http://127.0.0.1:5001/?code=1"


def test_with_a_lan_listener_the_link_is_the_one_that_others_reach(tmp_path: Path) -> None:
    config = config_for(tmp_path, terminal={"lan_host": "10.0.0.7"})
    assert pairing_link(config, "01234567") == LINK
    assert pairing_link(config, "01234567", port=4000) == LINK
    running(tmp_path, {"loopback": ["127.0.0.1", 5001], "lan": ["10.0.0.7", 5002]})
    assert pairing_link(config, "1") == "https://10.0.0.7:5002/?code=1"


def test_an_ipv6_host_is_bracketed(tmp_path: Path) -> None:
    config = config_for(tmp_path, terminal={"lan_host": "fd00::7"})
    assert pairing_link(config, "1") == "https://[fd00::7]:7312/?code=1"


@pytest.mark.parametrize("content", ["x", {}, {"loopback": ["a"]}, [], {"loopback": 3, "lan": 4}])
def test_what_a_crash_left_of_the_address_file_is_no_obstacle(
    tmp_path: Path, content: object
) -> None:
    running(tmp_path, content)
    assert pairing_link(config_for(tmp_path), "1") == "http://127.0.0.1:7311/?code=1"


def test_the_svg_holds_under_a_policy_without_inline_styles() -> None:
    svg = pairing_svg(LINK)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    for forbidden in ("style", "<script", " on", "http", "<?xml"):
        assert forbidden not in svg
    assert svg != pairing_svg(LINK + "8")


def test_the_console_code_is_a_block_of_even_lines() -> None:
    lines = pairing_console(LINK).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set("".join(lines)) <= set(" █▀▄")
    assert 15 < len(lines) < 40
