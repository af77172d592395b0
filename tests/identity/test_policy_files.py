"""Which policy is in force, and that nothing unsigned, forged or ambiguous ever is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from identity.errors import PolicyRefused
from identity.policy import load_policy, parse_policy
from identity.policy_files import SUFFIX, policy_in_force, sign
from retention.records.signing import Context, Ed25519Signer

SHIPPED = (Path(__file__).parents[2] / "identity" / "policies" / "counter-default.toml").read_text(
    encoding="utf-8"
)
SIGNER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
KEY = SIGNER.public_key.hex()
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def text(version: int = 3, begins: str = "2026-02-01", **changes: str) -> str:
    made = SHIPPED.replace('version = "2"', f'version = "{version}"')
    made = made.replace("2026-01-01T00", f"{begins}T00")
    for find, put in changes.items():
        made = made.replace(f"{find} = ", f"{find} = {put} # ", 1)
    return made


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a signed policy into the folder; return its file."""

    def write(name: str, content: str, signer: Ed25519Signer = SIGNER) -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        path.with_name(name + SUFFIX).write_bytes(sign(parse_policy(content, name), signer))
        return path

    return write


def test_without_a_place_the_shipped_policy_is_in_force() -> None:
    assert policy_in_force(None, None, NOW) == load_policy()


def test_a_signed_file_is_in_force(put: Callable[..., Path]) -> None:
    assert policy_in_force(put("a.toml", text()), KEY, NOW).version == "3"


def test_of_a_folder_the_newest_that_has_begun_is_in_force(
    put: Callable[..., Path], tmp_path: Path
) -> None:
    put("z-first.toml", text(3, "2026-02-01"))
    put("b-second.toml", text(4, "2026-06-01"))
    put("a-later.toml", text(5, "2026-09-01"))
    assert policy_in_force(tmp_path, KEY, NOW).version == "4"
    assert policy_in_force(tmp_path, KEY, datetime(2026, 9, 1, tzinfo=UTC)).version == "5"
    assert policy_in_force(tmp_path, KEY, datetime(2026, 5, 31, tzinfo=UTC)).version == "3"


def test_of_two_that_begin_together_the_higher_version_is_in_force(
    put: Callable[..., Path], tmp_path: Path
) -> None:
    put("a.toml", text(10))
    put("b.toml", text(9))
    assert policy_in_force(tmp_path, KEY, NOW).version == "10"


def test_two_that_differ_and_claim_to_be_the_same_are_refused(
    put: Callable[..., Path], tmp_path: Path
) -> None:
    put("a.toml", text(4))
    put("b.toml", text(4, comparisons="1"))
    with pytest.raises(PolicyRefused, match="two policies of version 4"):
        policy_in_force(tmp_path, KEY, NOW)


def test_the_same_policy_twice_is_no_contradiction(
    put: Callable[..., Path], tmp_path: Path
) -> None:
    put("a.toml", text(4))
    put("b.toml", text(4) + "# the same\n")
    assert policy_in_force(tmp_path, KEY, NOW).version == "4"


def test_before_the_first_begins_none_is_in_force(put: Callable[..., Path], tmp_path: Path) -> None:
    put("a.toml", text(begins="2027-01-01"))
    with pytest.raises(PolicyRefused, match="no policy is in force before 2027-01-01"):
        policy_in_force(tmp_path, KEY, NOW)


def test_an_empty_folder_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="holds no policy"):
        policy_in_force(tmp_path, KEY, NOW)
    with pytest.raises(PolicyRefused, match=r"absent\.toml: cannot be read"):
        policy_in_force(tmp_path / "absent.toml", KEY, NOW)


def spoilt(folder: Path, how: str, put: Callable[..., Path]) -> None:
    """Put one bad file beside a good one."""
    path, beside = folder / "bad.toml", folder / ("bad.toml" + SUFFIX)
    match how:
        case "changed after signing":
            put("bad.toml", text(7))
            path.write_text(text(7, comparisons="1"), encoding="utf-8")
        case "signature missing":
            path.write_text(text(7), encoding="utf-8")
        case "signature of another policy":
            put("bad.toml", text(6))
            path.write_text(text(7), encoding="utf-8")
        case "signed by another key":
            put("bad.toml", text(7), OTHER)
        case "forged by another key":
            put("bad.toml", text(7), OTHER)
            forged = beside.read_text().replace(OTHER.key_id, SIGNER.key_id)
            beside.write_text(forged)
        case "signed for another purpose":
            put("bad.toml", text(7))
            from identity.policy_files import terms_of

            block = SIGNER.sign(Context.EXPORT, terms_of(parse_policy(text(7), "bad")))
            beside.write_text(block.model_dump_json())
        case "signature is no JSON":
            put("bad.toml", text(7))
            beside.write_bytes(b"\xff\x00")
        case "unknown key":
            path.write_text(text(7) + "\n[extra]\nlucky = true\n", encoding="utf-8")
        case "not UTF-8":
            path.write_bytes(b"name = \xff")
        case "a folder of that name":
            path.mkdir()
        case "empty":
            path.touch()


@pytest.mark.parametrize(
    "how",
    [
        "changed after signing",
        "signature missing",
        "signature of another policy",
        "signed by another key",
        "forged by another key",
        "signed for another purpose",
        "signature is no JSON",
        "unknown key",
        "not UTF-8",
        "a folder of that name",
        "empty",
    ],
)
def test_one_bad_file_refuses_the_whole_folder(
    put: Callable[..., Path], tmp_path: Path, how: str
) -> None:
    put("good.toml", text())
    spoilt(tmp_path, how, put)
    with pytest.raises(PolicyRefused, match=r"bad\.toml"):
        policy_in_force(tmp_path, KEY, NOW)


@pytest.mark.parametrize("key", [None, "", "zz", KEY[:-2], OTHER.public_key.hex()])
def test_without_the_right_key_nothing_signed_is_in_force(
    put: Callable[..., Path], key: str | None
) -> None:
    with pytest.raises(PolicyRefused):
        policy_in_force(put("a.toml", text()), key, NOW)
