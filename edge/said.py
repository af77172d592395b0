"""What a person says on the command line (who and why), as records take it: not blank, not long."""

from __future__ import annotations

import argparse

MOST_CHARACTERS = 200


def said(text: str) -> str:
    """Return the words without the blanks around them. For argparse's `type`."""
    words = text.strip()
    if not words:
        raise argparse.ArgumentTypeError("must not be blank")
    if len(words) > MOST_CHARACTERS:
        raise argparse.ArgumentTypeError(f"has more than {MOST_CHARACTERS} characters")
    return words
