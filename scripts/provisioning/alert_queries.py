"""The queries and expressions of an alert rule."""

from __future__ import annotations

import re
from typing import Any

from .findings import Findings
from .shapes import (
    anything,
    duration,
    get,
    integer,
    items,
    kind_of,
    list_of,
    map_of,
    needed,
    number,
    one_of,
    optional,
    record,
    text,
)

#: Expressions have this in the place of a data source; the number is the old name.
EXPRESSION = ("__expr__", "-100")


def _from_before_to(findings: Findings, window: dict[str, Any]) -> None:
    first, last = window.get("from"), window.get("to")
    if isinstance(first, int) and isinstance(last, int) and first <= last:
        findings.add(f"from is {first} and to is {last} seconds before now: from must be the larger one")


QUERY = record(
    {
        "refId": needed(text),
        "datasourceUid": needed(text),
        "relativeTimeRange": optional(record({"from": needed(integer(0)), "to": needed(integer(0))})),
        "queryType": optional(text),
        "model": needed(map_of(anything)),
    }
)
#: Numbers that an evaluator takes, in Grafana 9 to 13.
EVALUATORS = {"gt": 1, "lt": 1, "within_range": 2, "outside_range": 2}
CLASSIC_EVALUATORS = {**EVALUATORS, "no_value": 0}


def _evaluator(allowed: dict[str, int]) -> Any:
    def count(findings: Findings, evaluator: dict[str, Any]) -> None:
        wanted = allowed.get(str(evaluator.get("type")))
        have = len(items(evaluator.get("params")))
        if wanted is not None and have != wanted:
            with findings.at("params"):
                findings.add(f"{evaluator['type']} takes {wanted} numbers, there are {have}")

    params = optional(list_of(number)) if 0 in allowed.values() else needed(list_of(number))
    return record({"type": needed(one_of(*allowed)), "params": params}, count)


def _one_condition(findings: Findings, model: dict[str, Any]) -> None:
    if len(items(model.get("conditions"))) > 1:
        with findings.at("conditions"):
            findings.add("a threshold has exactly one; use classic_conditions, or a math expression of several")


def _replacement(findings: Findings, settings: dict[str, Any]) -> None:
    if settings.get("mode") == "replaceNN" and "replaceWithValue" not in settings:
        with findings.at("replaceWithValue"):
            findings.add("is missing: replaceNN needs it")


_COMMON = {
    "refId": optional(text),
    "type": needed(text),
    "datasource": optional(map_of(anything)),
    "intervalMs": optional(integer(0)),
    "maxDataPoints": optional(integer(1)),
    "hide": optional(anything),
}
EXPRESSIONS = {
    "math": record({**_COMMON, "expression": needed(text)}),
    "reduce": record(
        {
            **_COMMON,
            "expression": needed(text),
            "reducer": needed(one_of("last", "mean", "min", "max", "sum", "count", "median")),
            "settings": optional(
                record(
                    {"mode": optional(one_of("", "dropNN", "replaceNN")), "replaceWithValue": optional(number)},
                    _replacement,
                )
            ),
        }
    ),
    "resample": record(
        {
            **_COMMON,
            "expression": needed(text),
            "window": needed(duration),
            "downsampler": needed(one_of("last", "min", "max", "mean", "sum")),
            "upsampler": needed(one_of("pad", "backfilling", "fillna")),
        }
    ),
    "threshold": record(
        {
            **_COMMON,
            "expression": needed(text),
            "conditions": needed(
                list_of(
                    record(
                        {
                            "evaluator": needed(_evaluator(EVALUATORS)),
                            "unloadEvaluator": optional(_evaluator(EVALUATORS)),
                        }
                    ),
                    at_least=1,
                )
            ),
        },
        _one_condition,
    ),
    "classic_conditions": record(
        {
            **_COMMON,
            "conditions": needed(
                list_of(
                    record(
                        {
                            "type": optional(one_of("query")),
                            "evaluator": needed(_evaluator(CLASSIC_EVALUATORS)),
                            "operator": needed(record({"type": needed(one_of("and", "or"))})),
                            "query": needed(record({"params": needed(list_of(text, at_least=1))})),
                            "reducer": needed(
                                record(
                                    {
                                        "type": needed(
                                            one_of(
                                                "avg",
                                                "min",
                                                "max",
                                                "sum",
                                                "count",
                                                "last",
                                                "median",
                                                "diff",
                                                "diff_abs",
                                                "percent_diff",
                                                "percent_diff_abs",
                                                "count_non_null",
                                            )
                                        ),
                                        "params": optional(list_of(anything)),
                                    }
                                )
                            ),
                        }
                    ),
                    at_least=1,
                )
            ),
        }
    ),
}


def check_queries(findings: Findings, queries: list[Any], sources: dict[str, str]) -> None:
    """All queries of one rule: their sources, models, and how they refer to each other."""
    by_ref = {get(query, "refId"): query for query in queries}
    for index, query in enumerate(queries):
        if not isinstance(query, dict):
            continue
        with findings.at(f"data[{index}]"):
            model = query.get("model")
            if isinstance(model, dict) and model.get("refId", query.get("refId")) != query.get("refId"):
                with findings.at("model.refId"):
                    findings.add(f"{model['refId']!r}, but the query is {query.get('refId')!r}")
            source = query.get("datasourceUid")
            if source in EXPRESSION:
                with findings.at("model"):
                    _expression(findings, model, by_ref, sources)
                continue
            with findings.at("datasourceUid"):
                if source not in sources:
                    findings.add(
                        f"no data source has the uid {source!r}; there are {', '.join(sorted(sources))}, __expr__"
                    )
                    continue
            _window(findings, query)
            with findings.at("model"):
                _model(findings, model, sources[str(source)])


def _window(findings: Findings, query: dict[str, Any]) -> None:
    with findings.at("relativeTimeRange"):
        if "relativeTimeRange" not in query:
            findings.add("is missing: a query needs the time that it looks at")
        else:
            _from = query["relativeTimeRange"]
            if isinstance(_from, dict):
                _from_before_to(findings, _from)


def _model(findings: Findings, model: Any, kind: str) -> None:
    if not isinstance(model, dict):
        findings.add(f"a map is wanted, not {kind_of(model)}")
        return
    key = "rawSql" if "postgres" in kind else "expr"
    with findings.at(key):
        text(findings, model.get(key))
    if kind == "loki" and "queryType" in model:
        with findings.at("queryType"):
            one_of("range", "instant")(findings, model["queryType"])
    if key == "rawSql":
        with findings.at("format"):
            one_of("table", "time_series")(findings, model.get("format"))


def _expression(findings: Findings, model: Any, by_ref: dict[Any, Any], sources: dict[str, str]) -> None:
    if not isinstance(model, dict):
        return
    kind = model.get("type")
    with findings.at("type"):
        one_of(*EXPRESSIONS)(findings, kind)
    if kind not in EXPRESSIONS:
        return
    EXPRESSIONS[kind](findings, model)
    expression = str(model.get("expression", ""))
    if kind == "math":
        used = [one or other for one, other in re.findall(r"\$(\w+)|\$\{([^}]+)\}", expression)]
        if not used and "expression" in model:
            with findings.at("expression"):
                findings.add("names no query; one is named with a dollar sign, as in $A > 1")
    elif kind == "classic_conditions":
        used = [
            ref for condition in items(model.get("conditions")) for ref in items(get(condition, "query", "params"))[:1]
        ]
    else:
        used = [expression.strip("${}")] if expression else []
    for ref in used:
        if ref not in by_ref:
            with findings.at("conditions" if kind == "classic_conditions" else "expression"):
                findings.add(f"{ref!r} is no refId of data, which has {', '.join(map(str, by_ref))}")
        elif kind in ("threshold", "math") and _is_range(by_ref[ref], sources):
            with findings.at("expression"):
                findings.add(f"{ref} is a range of values: put a reduce before it, or make the query instant")


def _is_range(query: Any, sources: dict[str, str]) -> bool:
    """Whether a query gives many values a series."""
    kind = sources.get(str(get(query, "datasourceUid")))
    if kind == "prometheus":
        return bool(get(query, "model", "instant") is not True)
    if kind == "loki":
        return bool((get(query, "model", "queryType") or get(query, "queryType")) != "instant")
    return False
