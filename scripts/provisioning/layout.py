"""Where a dashboard's panels lie: a grid of 24 columns in which nothing may lie on something else."""

from __future__ import annotations

from typing import Any

from .findings import Findings, below
from .shapes import get, integer, items, kind_of

COLUMNS = 24


def check_layout(findings: Findings, dashboard: Any) -> None:
    """Every panel has a place inside the grid; none lies on another."""
    # Panels of a collapsed row are laid out when it is opened, so they only meet each other.
    _check_level(findings, "panels", items(get(dashboard, "panels")))
    for index, panel in enumerate(items(get(dashboard, "panels"))):
        if get(panel, "type") != "row":
            continue
        inside = items(get(panel, "panels"))
        if inside and get(panel, "collapsed") is not True:
            with findings.at(f"panels[{index}].panels"):
                findings.add("only a collapsed row holds its panels; those of an open one follow it")
        _check_level(findings, f"panels[{index}].panels", inside)


def _check_level(findings: Findings, path: str, panels: list[Any]) -> None:
    placed: list[tuple[str, dict[str, int]]] = []
    for index, panel in enumerate(panels):
        here = below(path, index)
        with findings.at(f"{here}.gridPos"):
            place = _place(findings, get(panel, "gridPos"))
            if place is None:
                continue
            name = f"{here} ({get(panel, 'title')})"
            for other, taken in placed:
                if _overlap(place, taken):
                    findings.add(f"lies on {other}")
            placed.append((name, place))


def _place(findings: Findings, place: Any) -> dict[str, int] | None:
    if not isinstance(place, dict):
        findings.add(f"x, y, w and h are wanted, not {kind_of(place)}")
        return None
    before = len(findings.all)
    for key, least in (("x", 0), ("y", 0), ("w", 1), ("h", 1)):
        with findings.at(key):
            integer(least)(findings, place.get(key))
    if len(findings.all) > before:
        return None
    if place["x"] + place["w"] > COLUMNS:
        findings.add(f"ends at column {place['x'] + place['w']}, there are {COLUMNS}")
    return place


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
