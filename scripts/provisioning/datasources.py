"""Data sources: `provisioning/datasources/*.yaml`."""

from __future__ import annotations

import re
from typing import Any

from .findings import Findings
from .shapes import (
    Shape,
    any_text,
    anything,
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
    text,
    uid,
)

PROMETHEUS, LOKI = "prometheus", "loki"
#: The second name is the newer one; both are understood.
POSTGRES = ("postgres", "grafana-postgresql-datasource")
TYPES = (PROMETHEUS, LOKI, *POSTGRES)


def _http_url(findings: Findings, value: object) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^/\s]+\S*", value):
        findings.add(f"the URL of the store is wanted, such as http://127.0.0.1:3100, not {value!r}")


def _regex(findings: Findings, value: object) -> None:
    text(findings, value)
    try:
        re.compile(str(value))
    except re.error as error:
        findings.add(f"is no regular expression: {error}")


def _capture_group(findings: Findings, field: dict[str, Any]) -> None:
    """A regular expression on the line must have the one group whose text is the link's value."""
    if field.get("matcherType", "regex") != "regex":
        return
    try:
        groups = re.compile(str(field.get("matcherRegex", ""))).groups
    except re.error:
        return
    if groups != 1 and "matcherRegex" in field:
        with findings.at("matcherRegex"):
            findings.add(f"exactly one capture group is wanted, there are {groups}")


def _target(findings: Findings, field: dict[str, Any]) -> None:
    if not field.get("url") and not field.get("datasourceUid"):
        findings.add("url or datasourceUid is needed: there is nothing to go to")


def _exactly_one_target(findings: Findings, field: dict[str, Any]) -> None:
    if bool(field.get("url")) == bool(field.get("datasourceUid")):
        findings.add("either url or datasourceUid is needed, not both")


HTTP_JSON = {
    "timeout": optional(integer(1)),
    "tlsAuth": optional(boolean),
    "tlsAuthWithCACert": optional(boolean),
    "tlsSkipVerify": optional(boolean),
    "serverName": optional(text),
    "keepCookies": optional(list_of(text)),
    "manageAlerts": optional(boolean),
    "alertmanagerUid": optional(uid),
}
PROMETHEUS_JSON = record(
    {
        **HTTP_JSON,
        "httpMethod": optional(one_of("POST", "GET")),
        "timeInterval": optional(duration),
        "queryTimeout": optional(duration),
        "prometheusType": optional(one_of("Prometheus", "Mimir", "Cortex", "Thanos")),
        "prometheusVersion": optional(pattern(r"\d+\.\d+\.\d+", "a version such as 2.50.0")),
        "cacheLevel": optional(one_of("Low", "Medium", "High", "None")),
        "defaultEditor": optional(one_of("builder", "code")),
        "allowAsRecordingRulesTarget": optional(boolean),
        "disableMetricsLookup": optional(boolean),
        "disableRecordingRules": optional(boolean),
        "incrementalQuerying": optional(boolean),
        "seriesEndpoint": optional(boolean),
        "incrementalQueryOverlapWindow": optional(duration),
        "customQueryParameters": optional(any_text),
        "seriesLimit": optional(integer(0)),
        "exemplarTraceIdDestinations": optional(
            list_of(
                record(
                    {
                        "name": needed(text),
                        "datasourceUid": optional(uid),
                        "url": optional(text),
                        "urlDisplayLabel": optional(text),
                    },
                    _exactly_one_target,
                )
            )
        ),
    },
    numbered={"httpHeaderName": text},
)


def _lines(findings: Findings, value: object) -> None:
    """Loki's maxLines: a number, and a text of digits does as well."""
    if not (isinstance(value, str) and value.isdecimal()):
        integer(1)(findings, value)


LOKI_JSON = record(
    {
        **HTTP_JSON,
        "maxLines": optional(_lines),
        "predefinedOperations": optional(any_text),
        "derivedFields": optional(
            list_of(
                record(
                    {
                        "name": needed(text),
                        "matcherRegex": needed(_regex),
                        "matcherType": optional(one_of("regex", "label")),
                        "url": optional(any_text),
                        "datasourceUid": optional(uid),
                        "urlDisplayLabel": optional(text),
                        "targetBlank": optional(boolean),
                    },
                    _capture_group,
                    _target,
                )
            )
        ),
    },
    numbered={"httpHeaderName": text},
)
POSTGRES_JSON = record(
    {
        "database": needed(text),
        "sslmode": needed(one_of("disable", "require", "verify-ca", "verify-full")),
        "maxOpenConns": optional(integer(0)),
        "maxIdleConns": optional(integer(0)),
        "maxIdleConnsAuto": optional(boolean),
        "connMaxLifetime": optional(integer(0)),
        "postgresVersion": optional(one_of(903, 904, 905, 906, 1000, 1100, 1200, 1300, 1400, 1500)),
        "timescaledb": optional(boolean),
        "tlsConfigurationMethod": optional(one_of("file-path", "file-content")),
        "sslRootCertFile": optional(text),
        "sslCertFile": optional(text),
        "sslKeyFile": optional(text),
    }
)
JSON_DATA: dict[str, Shape] = {
    PROMETHEUS: PROMETHEUS_JSON,
    LOKI: LOKI_JSON,
    **dict.fromkeys(POSTGRES, POSTGRES_JSON),
}
_TLS = {key: optional(text) for key in ("tlsCACert", "tlsClientCert", "tlsClientKey")}
HTTP_SECURE = record({**_TLS, "basicAuthPassword": optional(text)}, numbered={"httpHeaderValue": text})
POSTGRES_SECURE = record({**_TLS, "password": needed(text)})


def _by_type(findings: Findings, source: dict[str, Any]) -> None:
    """What depends on the type: url, jsonData, secureJsonData."""
    kind = source.get("type")
    if kind not in TYPES:
        return
    postgres = kind in POSTGRES
    for key, shape in (
        ("url", pattern(r"[^/\s:]+:\d+", "host:port") if postgres else _http_url),
        ("jsonData", JSON_DATA[kind]),
        ("secureJsonData", POSTGRES_SECURE if postgres else HTTP_SECURE),
    ):
        if key in source:
            with findings.at(key):
                shape(findings, source[key])
        elif postgres and key != "url":
            with findings.at(key):
                findings.add(f"is missing: the type {kind} needs it")


def _header_pairs(findings: Findings, source: dict[str, Any]) -> None:
    """httpHeaderName1 goes with httpHeaderValue1."""

    def numbers(data: object, stem: str) -> set[str]:
        keys = data if isinstance(data, dict) else {}
        return {key.removeprefix(stem) for key in keys if isinstance(key, str) and key.startswith(stem)}

    names = numbers(source.get("jsonData"), "httpHeaderName")
    values = numbers(source.get("secureJsonData"), "httpHeaderValue")
    for number in sorted(names ^ values):
        findings.add(f"httpHeaderName{number} in jsonData and httpHeaderValue{number} in secureJsonData go together")


CORRELATION = record(
    {
        "label": needed(text),
        "description": needed(text),
        "targetUID": optional(uid),
        "type": needed(one_of("query", "external")),
        "config": needed(
            record(
                {
                    "field": needed(text),
                    "target": needed(map_of(anything)),
                    "transformations": optional(list_of(anything)),
                }
            )
        ),
    }
)
SOURCE = record(
    {
        "name": needed(text),
        "type": needed(one_of(*TYPES)),
        # Grafana makes one up where it is missing, and dashboards cannot refer to it then.
        "uid": needed(uid),
        "access": optional(one_of("proxy", "direct")),
        "url": needed(any_text),
        "user": optional(text),
        "database": optional(text),
        "orgId": optional(integer(1)),
        "version": optional(integer(0)),
        "isDefault": optional(boolean),
        "basicAuth": optional(boolean),
        "basicAuthUser": optional(text),
        "withCredentials": optional(boolean),
        "editable": optional(boolean),
        "jsonData": optional(anything),
        "secureJsonData": optional(both(map_of(text))),
        "correlations": optional(list_of(CORRELATION)),
    },
    _by_type,
    _header_pairs,
)
FILE = record(
    {
        "apiVersion": needed(one_of(1)),
        "prune": optional(boolean),
        "deleteDatasources": optional(list_of(record({"name": needed(text), "orgId": optional(integer(1))}))),
        "datasources": optional(list_of(SOURCE)),
    }
)


def together(findings: Findings, documents: dict[str, Any]) -> dict[str, str]:
    """What only shows over all files: doubles and dangling references. Answers with the type of each uid."""
    types: dict[str, str] = {}
    seen: dict[tuple[str, object], str] = {}
    for file, document in documents.items():
        for index, source in enumerate(items(get(document, "datasources"))):
            where = f"datasources[{index}]"
            org = get(source, "orgId") or 1
            taken: list[tuple[str, str, object]] = [
                ("uid", "the uid", get(source, "uid")),
                ("name", f"in organisation {org} the name", (org, get(source, "name"))),
            ]
            if get(source, "isDefault") is True:
                taken.append(("isDefault", "Grafana does not start with two: the default of organisation", org))
            with findings.in_file(file), findings.at(where):
                for key, words, value in taken:
                    if (key, value) in seen:
                        shown = value[1] if isinstance(value, tuple) else value
                        with findings.at(key):
                            findings.add(f"{words} {shown} is taken already, by {seen[key, value]}")
                    seen.setdefault((key, value), f"{file} {where}")
            if isinstance(get(source, "uid"), str):
                types[source["uid"]] = str(get(source, "type"))
    for file, document in documents.items():
        for index, source in enumerate(items(get(document, "datasources"))):
            with findings.in_file(file), findings.at(f"datasources[{index}]"):
                _references(findings, source, types)
    return types


def _references(findings: Findings, source: object, types: dict[str, str]) -> None:
    """The other sources that a source names."""
    named: list[tuple[str, object]] = [("jsonData.alertmanagerUid", get(source, "jsonData", "alertmanagerUid"))]
    for list_path, key in (
        (("jsonData", "derivedFields"), "datasourceUid"),
        (("jsonData", "exemplarTraceIdDestinations"), "datasourceUid"),
        (("correlations",), "targetUID"),
    ):
        for index, field in enumerate(items(get(source, *list_path))):
            named.append((f"{'.'.join(list_path)}[{index}].{key}", get(field, key)))
    for path, name in named:
        if isinstance(name, str) and name not in types:
            with findings.at(path):
                findings.add(f"no data source has the uid {name}; there are {', '.join(sorted(types))}")
