"""A policy file is read exactly, or refused with source, key and what is allowed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from identity.errors import PolicyRefused
from identity.policy import IdentityPolicy, load_policy, parse_policy

SHIPPED = (Path(__file__).parents[2] / "identity" / "policies" / "counter-default.toml").read_text(
    encoding="utf-8"
)


def test_the_digest_is_of_the_values(policy: IdentityPolicy) -> None:
    assert parse_policy(SHIPPED + "\n# a remark\n", "p").digest == policy.digest
    stricter = SHIPPED.replace('false_match_rate = "1e-4"', 'false_match_rate = "5e-5"', 1)
    assert parse_policy(stricter, "p").digest != policy.digest


@pytest.mark.parametrize(
    ("find", "put", "named"),
    [
        ('name = "counter-default"', 'name = "counter-default"\ncolour = 1', "colour: unknown key"),
        ("frames = 4", "frames = 4\nlucky = true", r"matching\.lucky: unknown key"),
        ('false_match_rate = "1e-4"', 'false_match_rate = "0.5"', r"bands\.0\.false_match_rate"),
        ('false_match_rate = "1e-4"', 'false_match_rate = "nan"', r"bands\.0\.false_match_rate"),
        ('false_match_rate = "1e-4"', 'false_match_rate = "1e-5"', "must not rise with the amount"),
        ('up_to = "1000.00"\n', "", "the last one, and only it, has no up_to"),
        ('stale_false_match_rate = "2e-5"', 'stale_false_match_rate = "1e-3"', "must not be above"),
        ("comparisons = 2", "comparisons = 9", r"transaction\.comparisons"),
        ('required = ["camera"', 'required = ["luck"', r"liveness\.required\.0"),
        ('effective_from = "2026-01-01T', 'effective_from = "soon', "effective_from"),
        ('effective_from = "2026-01-01T', 'effective_from = "2026-02-30T', "effective_from"),
        ("frames = 4", "frames = 1", r"matching\.frames.*greater than or equal to 3.*found 1"),
        ('min_motion = "0.01"', 'min_motion = "0"', r"liveness\.min_motion"),
        ('deadline_seconds = "4"', 'deadline_seconds = "nan"', r"attempt\.deadline_seconds"),
        ('minimum_seconds = "1.5"', 'minimum_seconds = "9"', "minimum_seconds must be below"),
        ("[liveness]", "[livenes]", "livenes|liveness"),
        ('grey_false_match_rate = "1e-3"', 'grey_false_match_rate = "1e-5"', "must not be below"),
        ("[matching]", "[matching", "not TOML"),
        ("frames = 4", "frames = " + "[" * 20_000, "not TOML"),
        ("frames = 4", "frames = " + "9" * 5_000, "not TOML"),
    ],
)
def test_a_policy_out_of_bounds_is_refused(find: str, put: str, named: str) -> None:
    assert find in SHIPPED
    with pytest.raises(PolicyRefused, match=rf"node\.toml: .*({named})") as caught:
        parse_policy(SHIPPED.replace(find, put, 1), "node.toml")
    assert "\n" not in str(caught.value).split("not TOML")[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match=r"absent\.toml"):
        load_policy(tmp_path / "absent.toml")


def test_equal_rates_in_every_band_are_allowed(policy: IdentityPolicy) -> None:
    alike = SHIPPED.replace('false_match_rate = "1e-4"', 'false_match_rate = "2e-5"', 1)
    assert [band.false_match_rate for band in parse_policy(alike, "p").bands] == [
        Decimal("2e-5"),
        Decimal("2e-5"),
    ]
