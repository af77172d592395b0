"""The notice before the first face: what is agreed to, in words that a version names.

A change of these texts is a new version. The consent's record names the version that was shown and
the digest of its words in both languages, so it can be said years later what was agreed to.
"""

from __future__ import annotations

from dataclasses import dataclass

from retention.policy import CEILINGS
from retention.records.canonical import digest_of

VERSION = "2026-11"
METHOD = "confirmed_at_counter"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the notice: what it is about, and what it says, Chinese first."""

    zh: str
    en: str
    says_zh: str
    says_en: str


def points(reference_days: int) -> tuple[Point, ...]:
    """Return the notice for a node that keeps references as long as its configuration says."""
    probe_days = CEILINGS["probe_crop"]
    return (
        Point("用途", "Purpose",
              "核对来购药的人是不是参保人本人，只在结算前比对，不用于其他目的。",
              "To check before settling that the buyer is the insured person, for nothing else."),
        Point("保存什么", "What is kept",
              "证件照片的加密特征，以及每次比对用到的几张画面。都加密后只存在本店设备，不上传；"
              "核验结果和时间记入业务记录。",
              "Encrypted features of the card's picture, and the few pictures that each check"
              " compared. Both are sealed on this pharmacy's device only and are not sent"
              " elsewhere. Result and time go into the records of the purchase."),
        Point("保存多久", "How long",
              f"特征最长使用 {reference_days} 天；比对画面最长保存 {probe_days} 天，只在有争议时"
              "复核用，依法封存的除外。",
              f"The features are used at most {reference_days} days. Compared pictures are kept at"
              f" most {probe_days} days and opened only to settle a dispute; a legal hold may"
              " keep those of one purchase longer."),
        Point("怎样撤回", "How to withdraw",
              "随时在本店柜台撤回，特征和比对画面立即删除（依法封存的除外），当场可看删除证明，"
              "不影响已办理的业务。",
              "At this counter, at any time: features and compared pictures are erased at once,"
              " but for what a legal hold covers; a proof is shown. Nothing that was done before"
              " changes."),
        Point("不同意也可以", "You may refuse",
              "由药师核对证件，同样办理，没有任何影响。",
              "A pharmacist compares the document instead; nothing else changes."),
    )  # fmt: skip


def sha256(reference_days: int) -> str:
    """Return the digest of the words that this node shows, both languages, with their version."""
    words = [[p.zh, p.en, p.says_zh, p.says_en] for p in points(reference_days)]
    return digest_of({"notice": VERSION, "points": words})
