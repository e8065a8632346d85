"""Alerting: `provisioning/alerting/*`. Rules are here, their queries in `alert_queries.py`, who is told in `contacts.py`."""

from __future__ import annotations

from typing import Any

from . import contacts
from .alert_queries import QUERY, check_queries
from .findings import Findings
from .shapes import (
    any_text,
    boolean,
    both,
    duration,
    get,
    integer,
    items,
    list_of,
    map_of,
    needed,
    one_of,
    optional,
    pattern,
    record,
    repeated,
    seconds,
    text,
    uid,
)

#: The scheduler looks at the rules every ten seconds.
SCHEDULER_SECONDS = 10


def _on_schedule(findings: Findings, value: str) -> None:
    interval = seconds(value)
    if interval <= 0 or interval % SCHEDULER_SECONDS:
        findings.add(f"{value} is no multiple of the scheduler's {SCHEDULER_SECONDS} s")


def _rule(findings: Findings, rule: dict[str, Any]) -> None:
    """What belongs together in a rule."""
    if ("dashboardUid" in rule) != ("panelId" in rule):
        findings.add("dashboardUid and panelId go together")
    refs = [get(query, "refId") for query in items(rule.get("data"))]
    if "record" in rule:
        if get(rule, "record", "from") not in refs:
            with findings.at("record.from"):
                findings.add(
                    f"{get(rule, 'record', 'from')!r} is no refId of data, which has {', '.join(map(str, refs))}"
                )
    elif "condition" not in rule:
        with findings.at("condition"):
            findings.add("is missing")
    elif rule["condition"] not in refs:
        with findings.at("condition"):
            findings.add(f"{rule['condition']!r} is no refId of data, which has {', '.join(map(str, refs))}")


RULE = record(
    {
        "uid": needed(uid),
        "title": needed(text),
        "condition": optional(text),
        "data": needed(list_of(QUERY, at_least=1)),
        "for": optional(duration),
        "keepFiringFor": optional(duration),
        # KeepLast came with Grafana 10.4, and an older one does not start with it.
        "noDataState": optional(one_of("NoData", "Alerting", "OK")),
        "execErrState": optional(one_of("Alerting", "Error", "OK")),
        "annotations": optional(map_of(any_text)),
        "labels": optional(map_of(any_text)),
        "dashboardUid": optional(uid),
        "panelId": optional(integer(1)),
        "isPaused": optional(boolean),
        "missing_series_evals_to_resolve": optional(integer(0)),
        "notification_settings": optional(
            record(
                {
                    "receiver": needed(text),
                    "group_by": optional(list_of(text)),
                    "group_wait": optional(duration),
                    "group_interval": optional(duration),
                    "repeat_interval": optional(duration),
                    "mute_time_intervals": optional(list_of(text)),
                    "active_time_intervals": optional(list_of(text)),
                }
            )
        ),
        "record": optional(
            record(
                {
                    "metric": needed(pattern(r"[a-zA-Z_:][a-zA-Z0-9_:]*", "the name of a metric")),
                    "from": needed(text),
                    "targetDatasourceUid": optional(uid),
                }
            )
        ),
    },
    _rule,
)
GROUP = record(
    {
        "orgId": optional(integer(1)),
        "name": needed(text),
        "folder": needed(text),
        "interval": needed(both(duration, _on_schedule)),
        "rules": needed(list_of(RULE, at_least=1)),
    }
)
_BY_UID = list_of(record({"orgId": optional(integer(1)), "uid": needed(uid)}))
FILE = record(
    {
        "apiVersion": needed(one_of(1)),
        "groups": optional(list_of(GROUP)),
        "deleteRules": optional(_BY_UID),
        "deleteContactPoints": optional(_BY_UID),
        **contacts.KEYS,
    }
)


def together(
    findings: Findings, documents: dict[str, Any], sources: dict[str, str], panels: set[tuple[Any, Any]]
) -> None:
    """What only shows over all files. `panels` are the dashboards' uids with the ids of their panels."""
    contact_names = contacts.together(findings, documents)
    uids: dict[object, str] = {}
    titles: dict[object, str] = {}
    groups: dict[object, str] = {}
    for file, document in documents.items():
        for index, group in enumerate(items(get(document, "groups"))):
            here = f"groups[{index}]"
            folder = get(group, "folder")
            with findings.in_file(file), findings.at(here):
                _once(findings, "name", "a group of the folder", (folder, get(group, "name")), groups, f"{file} {here}")
                for number, rule in enumerate(items(get(group, "rules"))):
                    with findings.at(f"rules[{number}]"):
                        place = f"{file} {here}.rules[{number}]"
                        _once(findings, "uid", "the uid", get(rule, "uid"), uids, place)
                        _once(findings, "title", "a rule of the folder", (folder, get(rule, "title")), titles, place)
                        _references(findings, rule, sources, panels, contact_names)


def _once(findings: Findings, key: str, what: str, value: object, seen: dict[object, str], place: str) -> None:
    if value in seen:
        with findings.at(key):
            shown = value[1] if isinstance(value, tuple) else value
            findings.add(f"{what} {shown!r} is there already, in {seen[value]}")
    seen.setdefault(value, place)


def _references(
    findings: Findings, rule: Any, sources: dict[str, str], panels: set[tuple[Any, Any]], names: contacts.Names
) -> None:
    check_queries(findings, items(get(rule, "data")), sources)
    repeated(
        findings,
        "the refId",
        [(f"data[{i}].refId", get(query, "refId")) for i, query in enumerate(items(get(rule, "data")))],
    )
    if get(rule, "dashboardUid") and get(rule, "panelId"):
        if (rule["dashboardUid"], rule["panelId"]) not in panels:
            with findings.at("panelId"):
                findings.add(f"the dashboard {rule['dashboardUid']} has no panel {rule['panelId']}")
    target = get(rule, "record", "targetDatasourceUid")
    if target is not None and target not in sources:
        with findings.at("record.targetDatasourceUid"):
            findings.add(f"no data source has the uid {target}; there are {', '.join(sorted(sources))}")
    settings = get(rule, "notification_settings")
    if isinstance(settings, dict):
        with findings.at("notification_settings"):
            contacts.check_names(findings, settings, names)
