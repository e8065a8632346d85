"""Two lists of things that have to be the same: what the design wants, and what the API says there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def differences(wanted: Iterable[object], found: Iterable[object]) -> list[str]:
    """One line per thing that is missing, or that nobody asked for. The order does not matter, the number does.

    Things are the same whose texts are: these name everything that is to be compared.
    """
    want, have = Counter(map(str, wanted)), Counter(map(str, found))
    missing = [f"missing: {text}" for text in sorted((want - have).elements())]
    return missing + [f"not in the design: {text}" for text in sorted((have - want).elements())]
