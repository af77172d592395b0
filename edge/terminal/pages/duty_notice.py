"""The notice to a pharmacist before their own picture is enrolled, in words that a version names.

A purpose of its own (`pharmacist_presence`), apart from every other consent. A change of these
texts is a new version.
"""

from __future__ import annotations

from edge.terminal.pages.notice import Point
from retention.records.canonical import digest_of

VERSION = "duty-2026-11"


def points(reference_days: int) -> tuple[Point, ...]:
    """Return the notice for a node that keeps references as long as its configuration says."""
    return (
        Point("用途", "Purpose",
              "签到以后，不定时核对您本人是否在岗，不用于考勤，不用于其他目的。",
              "To check now and then, after you signed in, that you are there; not for working"
              " hours, not for anything else."),
        Point("怎样核对", "How",
              "只与您本人的照片特征一对一比对，不在人群中查找；您签退后不再看。",
              "One to one with your own features only; nobody is searched for, and after you sign"
              " out nothing is looked at."),
        Point("保存什么", "What is kept",
              "您照片的加密特征，只存在本店设备，不上传；核对时的画面不另外保存。"
              "在岗、暂离的时间记入业务记录。",
              "Encrypted features of your picture, on this pharmacy's device only; no picture of a"
              " look is kept for it. When you were there and when not goes into the records."),
        Point("保存多久", "How long",
              f"最长使用 {reference_days} 天，到期不再使用。",
              f"At most {reference_days} days, not after that."),
        Point("怎样撤回", "How to withdraw",
              "随时在本页撤回，特征立即删除。",
              "On this page, at any time; the features are erased at once."),
        Point("不同意也可以", "You may refuse",
              "用自己的口令签到和确认，效力相同，没有任何影响。",
              "Sign in and confirm with your own secret instead; it counts the same."),
    )  # fmt: skip


def sha256(reference_days: int) -> str:
    """Return the digest of the words that this node shows, both languages, with their version."""
    words = [[p.zh, p.en, p.says_zh, p.says_en] for p in points(reference_days)]
    return digest_of({"notice": VERSION, "points": words})
