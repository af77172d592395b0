"""From what is on a document to what may be kept.

The number becomes an HMAC and the name a mask here, at the edge, before anything else sees them.
"""

from __future__ import annotations

import hashlib
import hmac


def person_ref(key: bytes, cert_type: str, number: str) -> str:
    """Return HMAC-SHA256(key, type ":" number). A written check digit x is the same as X."""
    same = number if cert_type == "01" else number.upper()
    return hmac.new(key, f"{cert_type}:{same}".encode(), hashlib.sha256).hexdigest()


def mask_name(name: str) -> str:
    """Keep the first and the last character of a name: 张*三; of two only the first: 张*.

    Of a name in words (Latin script) each word keeps its first letter: J*** D**. A space within
    a Chinese name (张　三) only fills a form; it is no word and shows no second character.
    """
    words = name.split()
    if len(words) > 1 and name.isascii():
        return " ".join(word[0] + "*" * max(1, len(word) - 1) for word in words)
    word = "".join(words)
    if len(word) <= 2 or word.isascii():
        return word[:1] + "*" * max(1, len(word) - 1)
    return word[0] + "*" * (len(word) - 2) + word[-1]
