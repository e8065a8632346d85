"""Reading files as Grafana does, but with complaints about what it swallows: keys that are there twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from . import expand
from .findings import Findings
from .shapes import Expanded


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # the package has no types
    """YAML without doubled keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is there twice", key.start_mark
                )
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError(f"the key {key!r} is there twice")
        out[key] = value
    return out


def read_json(findings: Findings, path: Path) -> Any:
    """A JSON file; `None` with a finding where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_pairs)
    except (OSError, ValueError) as error:
        findings.add(f"is no JSON: {error}")
        return None


def read_yaml(findings: Findings, path: Path) -> Any:
    """A YAML file; `None` with a finding where it is none, or no map."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, yaml.YAMLError, ValueError) as error:
        findings.add(f"is no YAML: {' '.join(str(error).split())}")
        return None
    if not isinstance(document, dict):
        findings.add("a map of keys is wanted at the top")
        return None
    return document


def expanded(
    findings: Findings, value: Any, environment: Mapping[str, str], not_expanded: frozenset[str] = frozenset()
) -> Any:
    """A tree with its variables replaced. One that is set nowhere is a finding: Grafana takes it for nothing.

    Keys in `not_expanded` keep their values as they are, as Grafana does.
    """
    if isinstance(value, list):
        out = []
        for index, item in enumerate(value):
            with findings.at(index):
                out.append(expanded(findings, item, environment, not_expanded))
        return out
    if isinstance(value, dict):
        made = {}
        for key, item in value.items():
            with findings.at(str(key)):
                keep = key in not_expanded
                made[key] = item if keep else expanded(findings, item, environment, not_expanded)
        return made
    if not isinstance(value, str) or "$" not in value:
        return value
    for name in expand.variables(value):
        if name not in environment:
            findings.add(
                f"the variable {name} is set nowhere, so it would be empty; set it in 50-cairn.conf,"
                " or write $$ for a dollar sign"
            )
    try:
        text = expand.expand(value, environment, read=lambda path: f"content of {path}")
    except ValueError as error:
        findings.add(str(error))
        return value
    return Expanded(text)


def unit_environment(path: Path) -> dict[str, str]:
    """The variables that a unit file sets by `Environment=NAME=value`."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, rest = line.strip().partition("=")
        if key == "Environment":
            name, _, value = rest.partition("=")
            found[name] = value
    return found
