"""A provisioning tree in which every kind of thing is used once and nothing is wrong. Tests break it piece by piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

METRICS = {"type": "prometheus", "uid": "metrics"}
LOGS = {"type": "loki", "uid": "logs"}


def data_sources() -> dict[str, Any]:
    """One source of each type."""
    return {
        "apiVersion": 1,
        "prune": True,
        "deleteDatasources": [{"name": "Old", "orgId": 1}],
        "datasources": [
            {
                "name": "Metrics",
                "uid": "metrics",
                "type": "prometheus",
                "access": "proxy",
                "orgId": 1,
                "url": "${METRICS_URL}",
                "isDefault": True,
                "editable": False,
                "jsonData": {
                    "httpMethod": "POST",
                    "timeInterval": "10s",
                    "prometheusType": "Prometheus",
                    "prometheusVersion": "2.50.0",
                    "cacheLevel": "Low",
                    "defaultEditor": "code",
                    "timeout": 30,
                    "httpHeaderName1": "X-Scope-OrgID",
                    "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": "logs"}],
                },
                "secureJsonData": {"httpHeaderValue1": "tenant"},
            },
            {
                "name": "Logs",
                "uid": "logs",
                "type": "loki",
                "url": "http://127.0.0.1:3100",
                "basicAuth": True,
                "basicAuthUser": "reader",
                "secureJsonData": {"basicAuthPassword": "$__file{/run/secret}"},
                "jsonData": {
                    "maxLines": 1000,
                    "derivedFields": [
                        {
                            "name": "request",
                            "matcherRegex": r"request_id=(\w+)",
                            "matcherType": "regex",
                            "datasourceUid": "logs",
                            "url": '{job="x"} |= "$${__value.raw}"',
                            "targetBlank": False,
                        }
                    ],
                },
                "correlations": [
                    {
                        "label": "to metrics",
                        "description": "d",
                        "type": "query",
                        "targetUID": "metrics",
                        "config": {"field": "job", "target": {"expr": "up"}},
                    }
                ],
            },
            {
                "name": "Shop",
                "uid": "shop",
                "type": "postgres",
                "url": "127.0.0.1:5432",
                "user": "reader",
                "database": "shop",
                "jsonData": {"database": "shop", "sslmode": "disable", "postgresVersion": 1500},
                "secureJsonData": {"password": "x"},
            },
        ],
    }


def providers() -> dict[str, Any]:
    """The one provider."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "cairn",
                "orgId": 1,
                "type": "file",
                "folder": "Cairn",
                "folderUid": "cairn",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 60,
                "options": {"path": "/usr/share/cairn-grafana/dashboards"},
            }
        ],
    }


def dashboard() -> dict[str, Any]:
    """Two panels, a collapsed row with one, a variable of each important kind."""
    unit = {"defaults": {"unit": "reqps"}, "overrides": []}
    return {
        "uid": "board",
        "title": "Board",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": [{"datasource": METRICS, "name": "restarts", "expr": "changes(x[1m])"}]},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                {"name": "job", "type": "query", "datasource": METRICS, "query": {"query": "label_values(up, job)"}},
                {"name": "search", "type": "textbox"},
            ]
        },
        "panels": [
            {
                "id": 1,
                "type": "timeseries",
                "title": "Rate",
                "description": "d",
                "fieldConfig": unit,
                "datasource": METRICS,
                "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
                "targets": [
                    {"refId": "A", "datasource": METRICS, "expr": 'rate(x{job="$job"}[$__rate_interval])'},
                    {"refId": "B", "datasource": {"type": "prometheus", "uid": "${source}"}, "expr": "up"},
                ],
            },
            {
                "id": 2,
                "type": "logs",
                "title": "Lines",
                "description": "d",
                "datasource": LOGS,
                "gridPos": {"x": 12, "y": 0, "w": 12, "h": 8},
                "targets": [
                    {
                        "refId": "A",
                        "datasource": LOGS,
                        "queryType": "range",
                        "expr": '{job=~"${job:regex}"} |= "$search"',
                    }
                ],
            },
            {
                "id": 3,
                "type": "row",
                "title": "More",
                "collapsed": True,
                "gridPos": {"x": 0, "y": 8, "w": 24, "h": 1},
                "panels": [
                    {
                        "id": 4,
                        "type": "stat",
                        "title": "Up",
                        "description": "d",
                        "fieldConfig": unit,
                        "datasource": METRICS,
                        "gridPos": {"x": 0, "y": 9, "w": 4, "h": 4},
                        "targets": [{"refId": "A", "datasource": METRICS, "expr": "sum(up)", "instant": True}],
                    }
                ],
            },
        ],
    }


def alerting() -> dict[str, Any]:
    """Every expression, every kind of contact point."""

    def expression(ref: str, **model: Any) -> dict[str, Any]:
        return {"refId": ref, "datasourceUid": "__expr__", "model": {"refId": ref, **model}}

    window = {"from": 300, "to": 0}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "chain",
                "folder": "Cairn",
                "interval": "1m",
                "rules": [
                    {
                        "uid": "rule-one",
                        "title": "One",
                        "condition": "C",
                        "for": "30s",
                        "noDataState": "OK",
                        "execErrState": "Error",
                        "labels": {"severity": "critical"},
                        "annotations": {"summary": "{{ $labels.job }} is at {{ $values.A.Value }}"},
                        "dashboardUid": "board",
                        "panelId": 1,
                        "notification_settings": {"receiver": "people", "mute_time_intervals": ["nights"]},
                        "data": [
                            {
                                "refId": "A",
                                "datasourceUid": "metrics",
                                "relativeTimeRange": window,
                                "model": {"refId": "A", "expr": "rate(x[5m])", "range": True},
                            },
                            expression("B", type="reduce", expression="A", reducer="last", settings={"mode": "dropNN"}),
                            expression(
                                "C",
                                type="threshold",
                                expression="B",
                                conditions=[{"evaluator": {"type": "gt", "params": [1]}}],
                            ),
                            expression("D", type="math", expression="$B > 1 && ${B} < 5"),
                            expression(
                                "E", type="resample", expression="A", window="1m", downsampler="mean", upsampler="pad"
                            ),
                            expression(
                                "F",
                                type="classic_conditions",
                                conditions=[
                                    {
                                        "evaluator": {"type": "within_range", "params": [1, 2]},
                                        "operator": {"type": "and"},
                                        "query": {"params": ["A"]},
                                        "reducer": {"type": "avg"},
                                    }
                                ],
                            ),
                        ],
                    },
                    {
                        "uid": "rule-two",
                        "title": "Two",
                        "condition": "B",
                        "noDataState": "NoData",
                        "data": [
                            {
                                "refId": "A",
                                "datasourceUid": "logs",
                                "relativeTimeRange": window,
                                "model": {"refId": "A", "expr": 'sum(rate({job="$x"}[5m]))', "queryType": "instant"},
                            },
                            expression("B", type="math", expression="$A > 1"),
                            {
                                "refId": "S",
                                "datasourceUid": "shop",
                                "relativeTimeRange": window,
                                "model": {"refId": "S", "rawQuery": True, "rawSql": "SELECT 1", "format": "table"},
                            },
                        ],
                    },
                    {
                        "uid": "rule-three",
                        "title": "Three",
                        "record": {"metric": "x:rate", "from": "A"},
                        "data": [
                            {
                                "refId": "A",
                                "datasourceUid": "metrics",
                                "relativeTimeRange": window,
                                "model": {"refId": "A", "expr": "sum(rate(x[5m]))", "instant": True},
                            }
                        ],
                    },
                ],
            }
        ],
        "deleteRules": [{"orgId": 1, "uid": "gone"}],
        "contactPoints": [
            {
                "orgId": 1,
                "name": "people",
                "receivers": [
                    {"uid": "mail", "type": "email", "settings": {"addresses": "a@example.com;b@example.com"}},
                    {"uid": "slack", "type": "slack", "settings": {"url": "$SLACK_URL"}},
                    {"uid": "pager", "type": "pagerduty", "settings": {"integrationKey": "k", "severity": "critical"}},
                    {"uid": "hook", "type": "webhook", "settings": {"url": "http://127.0.0.1/", "httpMethod": "POST"}},
                ],
            }
        ],
        "policies": [
            {
                "orgId": 1,
                "receiver": "grafana-default-email",
                "group_by": ["alertname"],
                "group_wait": "30s",
                "routes": [
                    {"receiver": "people", "matchers": ["severity = critical"], "mute_time_intervals": ["nights"]},
                    {"receiver": "people", "object_matchers": [["severity", "=~", "warn.*"]], "continue": True},
                ],
            }
        ],
        "templates": [{"orgId": 1, "name": "short", "template": '{{ define "short" }}x{{ end }}'}],
        "muteTimes": [
            {
                "orgId": 1,
                "name": "nights",
                "time_intervals": [
                    {
                        "times": [{"start_time": "22:00", "end_time": "24:00"}],
                        "weekdays": ["monday:friday"],
                        "days_of_month": ["-3:-1"],
                        "months": ["may:august"],
                        "years": ["2026:2028"],
                        "location": "Europe/Paris",
                    }
                ],
            }
        ],
    }


FILES = {
    "datasources": "provisioning/datasources/all.yaml",
    "providers": "provisioning/dashboards/all.yaml",
    "dashboard": "dashboards/board.json",
    "alerting": "provisioning/alerting/all.yaml",
}
ENVIRONMENT = {"METRICS_URL": "http://127.0.0.1:9090", "SLACK_URL": "http://127.0.0.1/slack"}


def documents() -> dict[str, dict[str, Any]]:
    """The four documents, new at each call and without parts in common."""
    made = {"datasources": data_sources(), "providers": providers(), "dashboard": dashboard(), "alerting": alerting()}
    return json.loads(json.dumps(made))


def write(root: Path, given: dict[str, dict[str, Any]]) -> None:
    """The documents as files below `root`."""
    for name, document in given.items():
        path = root / FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(document) if path.suffix == ".json" else yaml.safe_dump(document, sort_keys=False),
            encoding="utf-8",
        )
