"""The notice before the first face: what is agreed to, in words that a version names.

A change of these texts is a new version. The consent's record names the version that was shown.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "2026-01"
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
    return (
        Point("用途", "Purpose",
              "核对来购药的人是不是参保人本人，只在结算前比对，不用于其他目的。",
              "To check before settling that the buyer is the insured person, for nothing else."),
        Point("保存什么", "What is kept",
              "证件照片的加密特征，只存在本店设备，不上传，不保存照片；核验结果和时间记入业务记录。",
              "Encrypted features of the card's picture, on this pharmacy's device only, not sent"
              " elsewhere; not the picture. Result and time go into the records of the purchase."),
        Point("保存多久", "How long",
              f"特征最长使用 {reference_days} 天，到期不再使用；提出撤回，立即删除。",
              f"The features are used at most {reference_days} days, not after that; withdraw, and"
              " they are erased at once."),
        Point("怎样撤回", "How to withdraw",
              "随时向本店提出，特征立即删除，不影响已办理的业务。",
              "Tell this pharmacy at any time; the features are erased at once, and nothing that"
              " was done before changes."),
        Point("不同意也可以", "You may refuse",
              "由药师核对证件，同样办理，没有任何影响。",
              "A pharmacist compares the document instead; nothing else changes."),
    )  # fmt: skip
