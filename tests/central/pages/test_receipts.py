"""What a receipt that can be replayed says to a reviewer, in both languages."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from identity.liveness.panel import SIGNALS
from identity.methods import Method
from identity.quality import MEASURES
from retention.records import payloads as p
from retention.records import people as f
from retention.terms.words import TABLES
from tests.central.pages.conftest import Pages
from tests.central.pages.review_kit import SESSION, Review
from tests.central.pages.test_session_page import opened
from tests.central.wirekit import TestCentral, TestNode
from tests.golden.samples import RECEIPT2, SIGNATURE

GREY: dict[str, Any] = {
    "outcome": "REFER",
    "reasons": ("INCONCLUSIVE",),
    "band": "grey",
    "amount_limit": None,
    "reference_standing": "stale",
    "liveness": (
        p.LivenessSignal(signal="likeness", verdict="pass", value="0.4000", limit="0.9700"),
        p.LivenessSignal(signal="passive", verdict="pass", value="0.8000", limit="0.5000"),
    ),
    "challenge": f.ChallengeGiven(seed="0f" * 16, sides=("left",), outcome="not_finished"),
}
TERMINAL: dict[str, Any] = {
    "method": "certified_terminal", "reasons": ("TERMINAL_CONFIRMED",), "device": "terminal-7",
    "camera": None, "camera_identity": None, "band": None, "challenge": None,
    "comparison_score": None, "neg_log10_fmr": None, "amount_limit": None, "frames_seen": 0,
    "frames_used": 0, "quality": (), "liveness": (), "simulated": False,
}  # fmt: skip
SAID: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({}, "zh", ("可结算至 2000.00 元", "向左、向右 · 完成", "rtsp 模拟", "−log₁₀ FMR 6.1")),
    ({}, "en", ("Good up to 2000.00 CNY", "left, right · passed", "rtsp simulated")),
    (GREY, "zh", ("判定区间 不确定", "比对照片 较旧", "向左 · 未做完", "0.4000 不超过 0.9700")),
    (
        GREY,
        "en",
        ("Band not sure", "Reference stale", "left · not finished", "0.8000 at least 0.5000"),
    ),
    (TERMINAL, "zh", ("方式 认证终端", "设备 terminal-7")),
    (TERMINAL, "en", ("Method Certified terminal", "Device terminal-7")),
]


@pytest.fixture
def review(central: TestCentral, node: TestNode) -> Review:
    return Review(central, node)


@pytest.mark.parametrize(("changes", "lang", "said"), SAID)
def test_a_receipt_is_told_in_full(
    pages: Pages, review: Review, changes: dict[str, Any], lang: str, said: tuple[str, ...]
) -> None:
    review.session()
    receipt = RECEIPT2.model_copy(update={"session": SESSION, **changes})
    review.tell(f.IdentityDecided2(session=SESSION, receipt=receipt, signature=SIGNATURE))
    browser = pages.signed_in()
    browser.cookies.set("lang", lang)
    shown = opened(pages, browser)
    assert shown.status_code == 200
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown.text)).split())
    for words in said:
        assert words in text


def test_every_code_that_a_receipt_may_hold_has_words() -> None:
    verdicts = p.LivenessSignal.model_fields["verdict"].annotation.__args__  # type: ignore[union-attr]
    assert TABLES["signal"].keys() >= {*(signal.name for signal in SIGNALS), *verdicts}
    assert TABLES["measure"].keys() >= {measure.name for measure in MEASURES}
    assert TABLES["method"].keys() >= {method.value for method in Method}
