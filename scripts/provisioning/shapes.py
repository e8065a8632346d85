"""Shapes of values: small checks that are put together to a format.

A shape is a function of the findings and a value. Formats are written as tables of keys:

    SOURCE = record({"name": needed(text), "isDefault": optional(boolean), "access": optional(one_of("proxy"))})
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .findings import Findings

Shape = Callable[[Findings, Any], None]

#: What Grafana takes as a uid of anything.
UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


class Expanded(str):
    """A text that came out of a variable. Grafana reads booleans and numbers from it."""

    __slots__ = ()


@dataclass(frozen=True)
class Key:
    """A key of a record."""

    shape: Shape
    needed: bool = False


def needed(shape: Shape) -> Key:
    """A key that must be there."""
    return Key(shape, True)


def optional(shape: Shape) -> Key:
    """A key that may be there."""
    return Key(shape)


def kind_of(value: object) -> str:
    """A value's kind in words."""
    names: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"),
        (int, "a number"),
        (float, "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a map"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")


def anything(_findings: Findings, _value: object) -> None:
    """Any value."""


def text(findings: Findings, value: object) -> None:
    """A text that is not blank."""
    if not isinstance(value, str):
        findings.add(f"a text is wanted, not {kind_of(value)}; put quotes around it")
    elif not value.strip():
        findings.add("is empty")


def any_text(findings: Findings, value: object) -> None:
    """A text, perhaps empty."""
    if not isinstance(value, str):
        findings.add(f"a text is wanted, not {kind_of(value)}; put quotes around it")


def boolean(findings: Findings, value: object) -> None:
    """true or false."""
    if not isinstance(value, bool) and not (isinstance(value, Expanded) and value in ("true", "false")):
        findings.add(f"true or false is wanted, not {value!r}")


def integer(least: int | None = None, most: int | None = None) -> Shape:
    """A whole number."""

    def check(findings: Findings, value: object) -> None:
        if isinstance(value, Expanded) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            findings.add(f"a whole number is wanted, not {value!r}")
        elif (least is not None and value < least) or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            findings.add(f"{value} is out of bounds: {bounds}")

    return check


def number(findings: Findings, value: object) -> None:
    """Any number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        findings.add(f"a number is wanted, not {value!r}")


def duration(findings: Findings, value: object) -> None:
    """A duration with its unit."""
    if not isinstance(value, str) or not DURATION.fullmatch(value):
        findings.add(f"a duration is wanted, such as 30s, 5m, 1h, not {value!r}")


def seconds(value: str) -> float:
    """A duration in seconds."""
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", value))


def uid(findings: Findings, value: object) -> None:
    """A uid."""
    if not isinstance(value, str) or not UID.fullmatch(value):
        findings.add(f"a uid is wanted, 1 to 40 of a-z A-Z 0-9 _ -, not {value!r}")


def one_of(*allowed: object) -> Shape:
    """One of some values; upper and lower case differ."""

    def check(findings: Findings, value: object) -> None:
        if isinstance(value, bool) or value not in allowed:
            findings.add(f"{value!r} is not one of {', '.join(map(str, allowed))}")

    return check


def pattern(expression: str, wanted: str) -> Shape:
    """A text of a form."""
    compiled = re.compile(expression)

    def check(findings: Findings, value: object) -> None:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            findings.add(f"{wanted} is wanted, not {value!r}")

    return check


def list_of(shape: Shape, at_least: int = 0) -> Shape:
    """A list of things of one shape."""

    def check(findings: Findings, value: object) -> None:
        if not isinstance(value, list):
            findings.add(f"a list is wanted, not {kind_of(value)}")
            return
        if len(value) < at_least:
            findings.add(f"at least {at_least} needed, there are {len(value)}")
        for index, item in enumerate(value):
            with findings.at(index):
                shape(findings, item)

    return check


def map_of(shape: Shape) -> Shape:
    """A map from any text to things of one shape."""

    def check(findings: Findings, value: object) -> None:
        if not isinstance(value, dict):
            findings.add(f"a map is wanted, not {kind_of(value)}")
            return
        for key, item in value.items():
            with findings.at(str(key)):
                shape(findings, item)

    return check


def record(keys: Mapping[str, Key], *rules: Shape, numbered: Mapping[str, Shape] | None = None) -> Shape:
    """A map with known keys; `rules` look at the whole where it is a map. `numbered` keys end with a number."""

    def check(findings: Findings, value: object) -> None:
        if not isinstance(value, dict):
            findings.add(f"a map is wanted, not {kind_of(value)}")
            return
        for key, item in value.items():
            stem = str(key).rstrip("0123456789")
            shape = keys[key].shape if key in keys else None
            if shape is None and numbered and stem in numbered and stem != key:
                shape = numbered[stem]
            with findings.at(str(key)):
                if shape is None:
                    findings.add(unknown(str(key), keys))
                else:
                    shape(findings, item)
        for key, wanted in keys.items():
            if wanted.needed and key not in value:
                with findings.at(key):
                    findings.add("is missing")
        for rule in rules:
            rule(findings, value)

    return check


def unknown(key: str, keys: Mapping[str, Key]) -> str:
    """The message about a key that Grafana would ignore without a word."""
    same = [name for name in keys if name.lower() == key.lower()]
    hint = f"did you mean {same[0]}?" if same else f"known here: {', '.join(sorted(keys))}"
    return f"unknown key, Grafana ignores it without a word; {hint}"


def both(*shapes: Shape) -> Shape:
    """A value that has every one of the shapes; the first that finds something has the word."""

    def check(findings: Findings, value: object) -> None:
        before = len(findings.all)
        for shape in shapes:
            shape(findings, value)
            if len(findings.all) > before:
                return

    return check


def get(value: object, *steps: str | int) -> Any:
    """What lies at a path of a tree that may have any shape; `None` where there is nothing."""
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def items(value: object) -> list[Any]:
    """A list's items; none where it is no list."""
    return value if isinstance(value, list) else []


def repeated(findings: Findings, what: str, found: list[tuple[str, object]]) -> None:
    """Each value that comes again is wrong where it comes again. `found` holds paths and values."""
    first: dict[object, str] = {}
    for path, value in found:
        if value in first:
            with findings.at(path):
                findings.add(f"{what} {value!r} is taken already, by {first[value]}")
        else:
            first[value] = f"{findings.file} {path}"
