"""Dashboards: `provisioning/dashboards/*.yaml`, which name folders, and the JSON files in these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .findings import Findings, below
from .layout import check_layout
from .shapes import (
    any_text,
    anything,
    boolean,
    get,
    integer,
    items,
    kind_of,
    list_of,
    needed,
    one_of,
    optional,
    pattern,
    record,
    repeated,
    text,
    uid,
    unknown,
)

#: Where the package puts its dashboards, and where they lie in the tree.
INSTALLED = "/usr/share/cairn-grafana/dashboards"


def _one_owner_of_folders(findings: Findings, provider: dict[str, Any]) -> None:
    if get(provider, "options", "foldersFromFilesStructure") is True and (
        provider.get("folder") or provider.get("folderUid")
    ):
        findings.add("folder and folderUid must be empty where options.foldersFromFilesStructure makes the folders")


PROVIDER = record(
    {
        "name": needed(text),
        "orgId": optional(integer(1)),
        "type": optional(one_of("file")),
        "folder": optional(any_text),
        "folderUid": optional(uid),
        "disableDeletion": optional(boolean),
        "allowUiUpdates": optional(boolean),
        "updateIntervalSeconds": optional(integer(1)),
        "options": needed(
            record(
                {
                    "path": needed(pattern(r"/\S+", "an absolute path")),
                    "foldersFromFilesStructure": optional(boolean),
                }
            )
        ),
    },
    _one_owner_of_folders,
)
FILE = record({"apiVersion": needed(one_of(1)), "providers": needed(list_of(PROVIDER, at_least=1))})

#: Panels that Grafana 9 to 13 all have.
PANELS = (
    "barchart",
    "bargauge",
    "dashlist",
    "gauge",
    "heatmap",
    "histogram",
    "logs",
    "news",
    "nodeGraph",
    "piechart",
    "row",
    "stat",
    "state-timeline",
    "status-history",
    "table",
    "text",
    "timeseries",
)
DEPRECATED = {
    "graph": "timeseries",
    "singlestat": "stat",
    "table-old": "table",
    "heatmap-old": "heatmap",
    "grafana-piechart-panel": "piechart",
    "grafana-singlestat-panel": "stat",
    "natel-discrete-panel": "state-timeline",
}
#: They show values, which mean little without a unit.
WITH_UNIT = ("barchart", "bargauge", "gauge", "heatmap", "histogram", "piechart", "stat", "timeseries")
WITHOUT_QUERIES = ("row", "text", "dashlist", "news")

#: Grafana 9.0 writes 36. What newer ones change (they go on from 39, Grafana 11's) they migrate by themselves.
SCHEMA_VERSIONS = (36, 39)


def _for_imports(findings: Findings, _value: object) -> None:
    findings.add("belongs to files that are imported by hand: write the data sources' uids into the panels")


TOP = {
    **{
        key: optional(anything)
        for key in (
            "annotations",
            "fiscalYearStartMonth",
            "graphTooltip",
            "links",
            "liveNow",
            "refresh",
            "timepicker",
            "timezone",
            "version",
            "weekStart",
            "description",
        )
    },
    "uid": needed(uid),
    "title": needed(text),
    "tags": optional(list_of(text)),
    "schemaVersion": needed(integer(*SCHEMA_VERSIONS)),
    "editable": optional(boolean),
    "time": needed(record({"from": needed(text), "to": needed(text)})),
    "templating": needed(record({"list": needed(list_of(anything))})),
    "panels": needed(list_of(anything, at_least=1)),
    "id": optional(one_of(None)),
    "__inputs": optional(_for_imports),
    "__requires": optional(_for_imports),
}
TOP_SHAPE = record(TOP)

#: Grafana's own, which are no variables of the dashboard.
BUILT_IN_SOURCES = {
    "-- Grafana --": "grafana",
    "-- Mixed --": "datasource",
    "-- Dashboard --": "datasource",
    "grafana": "grafana",
    "__expr__": "__expr__",
}
BUILT_IN_VARIABLES = re.compile(
    r"__(interval|interval_ms|rate_interval|rate_interval_ms|range|range_s|range_ms|from|to|name|org|user|dashboard"
    r"|auto|timeFilter|value|field|series|data|url_time_range|all_variables)"
)
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)[^}]*\}|\[\[(\w+)[^\]]*\]\]")
VARIABLE_TYPES = ("adhoc", "constant", "custom", "datasource", "interval", "query", "textbox")


def all_panels(dashboard: Any, path: str = "panels") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel with its path, those inside collapsed rows too."""
    panels = dashboard if isinstance(dashboard, list) else items(get(dashboard, "panels"))
    for index, panel in enumerate(panels):
        if isinstance(panel, dict):
            here = below(path, index)
            yield here, panel
            yield from all_panels(items(panel.get("panels")), f"{here}.panels")


def check_dashboard(findings: Findings, dashboard: Any, sources: dict[str, str]) -> None:
    """One JSON file. `sources` are the types of the data sources by uid."""
    TOP_SHAPE(findings, dashboard)
    if not isinstance(dashboard, dict):
        return
    variables = _variables(findings, dashboard, sources)
    known = {**sources, **BUILT_IN_SOURCES}
    panels = list(all_panels(dashboard))
    repeated(findings, "the panel id", [(f"{path}.id", panel["id"]) for path, panel in panels if "id" in panel])
    for path, panel in panels:
        with findings.at(path):
            _panel(findings, panel, known, variables)
    check_layout(findings, dashboard)
    for index, annotation in enumerate(items(get(dashboard, "annotations", "list"))):
        with findings.at(f"annotations.list[{index}]"):
            _source(findings, get(annotation, "datasource"), known, variables)
            _used_variables(findings, "expr", get(annotation, "expr"), variables)


def _variables(findings: Findings, dashboard: dict[str, Any], sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The dashboard's variables by name."""
    listed = items(get(dashboard, "templating", "list"))
    variables = {variable["name"]: variable for variable in listed if isinstance(get(variable, "name"), str)}
    repeated(
        findings,
        "the name",
        [(f"templating.list[{i}].name", get(variable, "name")) for i, variable in enumerate(listed)],
    )
    for index, variable in enumerate(listed):
        with findings.at(f"templating.list[{index}]"):
            if not isinstance(get(variable, "name"), str) or not re.fullmatch(r"\w+", variable["name"]):
                with findings.at("name"):
                    findings.add(f"a word is wanted, not {get(variable, 'name')!r}")
            with findings.at("type"):
                one_of(*VARIABLE_TYPES)(findings, get(variable, "type"))
            if get(variable, "type") == "query":
                _source(findings, get(variable, "datasource"), {**sources, **BUILT_IN_SOURCES}, variables)
                query = get(variable, "query")
                if not query or (isinstance(query, dict) and not query.get("query")):
                    with findings.at("query"):
                        findings.add("is missing")
    return variables


def _panel(findings: Findings, panel: dict[str, Any], known: dict[str, str], variables: dict[str, Any]) -> None:
    kind = panel.get("type")
    if "id" not in panel:
        with findings.at("id"):
            findings.add("is missing: links to the panel would change with each load")
    with findings.at("type"):
        if kind in DEPRECATED:
            findings.add(f"{kind} is gone from newer Grafanas; use {DEPRECATED[str(kind)]}")
        else:
            one_of(*PANELS)(findings, kind)
    with findings.at("title"):
        text(findings, panel.get("title"))
    if kind in WITHOUT_QUERIES:
        return
    with findings.at("description"):
        if not isinstance(panel.get("description"), str) or not panel["description"].strip():
            findings.add("is missing: say what the panel shows and what is normal")
    if kind in WITH_UNIT and not get(panel, "fieldConfig", "defaults", "unit"):
        with findings.at("fieldConfig.defaults.unit"):
            findings.add("is missing: a number without a unit says nothing; none is one")
    _source(findings, panel.get("datasource"), known, variables)
    targets = items(panel.get("targets"))
    if not targets:
        with findings.at("targets"):
            findings.add("no query")
    repeated(findings, "the refId", [(f"targets[{i}].refId", get(target, "refId")) for i, target in enumerate(targets)])
    for index, target in enumerate(targets):
        with findings.at(f"targets[{index}]"):
            _target(findings, target, known, variables)


def _target(findings: Findings, target: Any, known: dict[str, str], variables: dict[str, Any]) -> None:
    if not isinstance(target, dict):
        findings.add(f"a map is wanted, not {kind_of(target)}")
        return
    with findings.at("refId"):
        text(findings, target.get("refId"))
    kind = _source(findings, target.get("datasource"), known, variables)
    if kind in ("prometheus", "loki"):
        with findings.at("expr"):
            text(findings, target.get("expr"))
    if kind == "loki" and "queryType" in target:
        with findings.at("queryType"):
            one_of("range", "instant")(findings, target["queryType"])
    for key in ("expr", "rawSql"):
        _used_variables(findings, key, target.get(key), variables)


def _source(findings: Findings, source: Any, known: dict[str, str], variables: dict[str, Any]) -> str | None:
    """A reference to a data source. Answers with the type it has."""
    with findings.at("datasource"):
        if not isinstance(source, dict):
            findings.add(
                f"type and uid of the data source are wanted, not {source!r}: a name, or nothing, means something"
                " else in each installation"
            )
            return None
        name, kind = source.get("uid"), source.get("type")
        for key in source:
            if key not in ("type", "uid"):
                with findings.at(str(key)):
                    findings.add(unknown(str(key), {"type": needed(text), "uid": needed(text)}))
        with findings.at("uid"):
            through = VARIABLE.fullmatch(name) if isinstance(name, str) else None
            if through:
                variable = variables.get(next(filter(None, through.groups())))
                if get(variable, "type") != "datasource":
                    findings.add(f"{name} is no variable of the type datasource")
                    return None
                actual = get(variable, "query")
            elif name in known:
                actual = known[name]
            else:
                findings.add(f"no data source has the uid {name!r}; there are {', '.join(sorted(known))}")
                return None
        if actual is not None and kind != actual:
            with findings.at("type"):
                findings.add(f"{kind!r}, but the data source {name} has the type {actual}")
        return actual if isinstance(actual, str) else None


def _used_variables(findings: Findings, key: str, value: Any, variables: dict[str, Any]) -> None:
    if not isinstance(value, str):
        return
    for match in VARIABLE.finditer(value):
        name = next(filter(None, match.groups()))
        if name not in variables and not BUILT_IN_VARIABLES.fullmatch(name):
            with findings.at(key):
                findings.add(f"the variable {match.group()} is neither in templating.list nor one of Grafana's")


def tree_folder(installed: str, root: Path) -> Path | None:
    """Where the files of an installed folder lie in the tree; `None` for a folder that is not ours."""
    if installed != INSTALLED and not installed.startswith(f"{INSTALLED}/"):
        return None
    return root / "dashboards" / installed.removeprefix(INSTALLED).lstrip("/")
