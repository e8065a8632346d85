"""Who is told of an alert: contact points, policies, templates, mute timings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .findings import Findings
from .shapes import (
    Key,
    any_text,
    anything,
    boolean,
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

Settings = dict[str, Any]


def _slack(findings: Findings, settings: Settings) -> None:
    if not settings.get("url") and not (settings.get("token") and settings.get("recipient")):
        findings.add("url is needed, or token and recipient")


def _webhook(findings: Findings, settings: Settings) -> None:
    basic = {"username", "password"} & settings.keys()
    header = {"authorization_scheme", "authorization_credentials"} & settings.keys()
    if basic and header:
        findings.add("username and password, or authorization_scheme and authorization_credentials, not both")


RECEIVERS = {
    "email": record(
        {
            "addresses": needed(pattern(r"(?s)[^@]+@.+", "addresses, with ; or , or a line break between")),
            "singleEmail": optional(boolean),
            "message": optional(any_text),
            "subject": optional(any_text),
        }
    ),
    "slack": record(
        {
            **{
                key: optional(text)
                for key in (
                    "url",
                    "token",
                    "recipient",
                    "username",
                    "icon_emoji",
                    "icon_url",
                    "mentionUsers",
                    "mentionGroups",
                    "endpointUrl",
                    "title",
                    "text",
                )
            },
            "mentionChannel": optional(one_of("", "here", "channel")),
        },
        _slack,
    ),
    "pagerduty": record(
        {
            "integrationKey": needed(text),
            "severity": optional(one_of("critical", "error", "warning", "info")),
            **{
                key: optional(any_text)
                for key in ("class", "component", "group", "summary", "source", "client", "client_url", "url")
            },
            "details": optional(map_of(any_text)),
        }
    ),
    "webhook": record(
        {
            "url": needed(text),
            "httpMethod": optional(one_of("POST", "PUT")),
            **{
                key: optional(any_text)
                for key in (
                    "username",
                    "password",
                    "authorization_scheme",
                    "authorization_credentials",
                    "title",
                    "message",
                )
            },
            "maxAlerts": optional(anything),
            **{key: optional(map_of(anything)) for key in ("tlsConfig", "headers", "payload", "hmacConfig")},
        },
        _webhook,
    ),
}


def _settings(findings: Findings, receiver: dict[str, Any]) -> None:
    shape = RECEIVERS.get(str(receiver.get("type")))
    if shape and "settings" in receiver:
        with findings.at("settings"):
            shape(findings, receiver["settings"])


RECEIVER = record(
    {
        "uid": needed(uid),
        "type": needed(one_of(*RECEIVERS)),
        "settings": needed(anything),
        "disableResolveMessage": optional(boolean),
    },
    _settings,
)


def _template(findings: Findings, template: dict[str, Any]) -> None:
    body = template.get("template")
    if isinstance(body, str) and not re.search(r'\{\{-?\s*define\s+"[^"]+"', body):
        with findings.at("template"):
            findings.add('defines nothing: {{ define "name" }} … {{ end }} is wanted')


def _matcher(findings: Findings, value: object) -> None:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(part, str) for part in value):
        findings.add(f"three texts are wanted, such as ['severity', '=', 'critical'], not {value!r}")
    elif value[1] not in ("=", "!=", "=~", "!~"):
        findings.add(f"{value[1]!r} is not one of =, !=, =~, !~")


_ROUTE_KEYS: dict[str, Key] = {
    "receiver": optional(text),
    "group_by": optional(list_of(text)),
    "group_wait": optional(duration),
    "group_interval": optional(duration),
    "repeat_interval": optional(duration),
    "matchers": optional(list_of(pattern(r"[^=!~\s]+\s*(=|!=|=~|!~)\s*.*", "a matcher such as severity = critical"))),
    "object_matchers": optional(list_of(_matcher)),
    "mute_time_intervals": optional(list_of(text)),
    "active_time_intervals": optional(list_of(text)),
    "continue": optional(boolean),
}


def _route(findings: Findings, value: Any) -> None:
    """A node of the tree; it holds further ones."""
    record({**_ROUTE_KEYS, "routes": optional(list_of(_route))})(findings, value)


def _no_root_matchers(findings: Findings, policy: dict[str, Any]) -> None:
    for key in ("matchers", "object_matchers", "mute_time_intervals", "active_time_intervals", "continue"):
        if policy.get(key):
            with findings.at(key):
                findings.add("not at the root of the tree, which takes everything; put it into a route")


POLICY = record(
    {**_ROUTE_KEYS, "orgId": optional(integer(1)), "receiver": needed(text), "routes": optional(list_of(_route))},
    _no_root_matchers,
)
_CLOCK = pattern(r"([01]\d|2[0-3]):[0-5]\d|24:00", "a time HH:MM in quotes")
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
MUTE_TIME = record(
    {
        "orgId": optional(integer(1)),
        "name": needed(text),
        "time_intervals": needed(
            list_of(
                record(
                    {
                        "times": optional(list_of(record({"start_time": needed(_CLOCK), "end_time": needed(_CLOCK)}))),
                        "weekdays": optional(
                            list_of(pattern(f"({_DAYS})(:({_DAYS}))?", "weekdays, as in 'monday:friday'"))
                        ),
                        "days_of_month": optional(list_of(pattern(r"-?\d+(:-?\d+)?", "days in quotes, as in '1:5'"))),
                        "months": optional(
                            list_of(pattern(rf"({_MONTHS}|\d+)(:({_MONTHS}|\d+))?", "months in quotes, as in '1:3'"))
                        ),
                        "years": optional(list_of(pattern(r"\d{4}(:\d{4})?", "years in quotes, as in '2026:2028'"))),
                        "location": optional(
                            pattern(r"UTC|Local|[A-Za-z_]+(/[A-Za-z_+-]+)+", "a place such as Europe/Paris")
                        ),
                    }
                ),
                at_least=1,
            )
        ),
    }
)
_BY_NAME = list_of(record({"orgId": optional(integer(1)), "name": needed(text)}))
KEYS: dict[str, Key] = {
    "contactPoints": optional(
        list_of(
            record(
                {
                    "orgId": optional(integer(1)),
                    "name": needed(text),
                    "receivers": needed(list_of(RECEIVER, at_least=1)),
                }
            )
        )
    ),
    "policies": optional(list_of(POLICY)),
    "resetPolicies": optional(list_of(integer(1))),
    "templates": optional(
        list_of(record({"orgId": optional(integer(1)), "name": needed(text), "template": needed(text)}, _template))
    ),
    "deleteTemplates": optional(_BY_NAME),
    "muteTimes": optional(list_of(MUTE_TIME)),
    "deleteMuteTimes": optional(_BY_NAME),
}


@dataclass(frozen=True)
class Names:
    """What policies and rules can name."""

    receivers: frozenset[str]
    mute_times: frozenset[str]


#: There in every Grafana, until a file takes it away.
DEFAULT_RECEIVERS = frozenset({"grafana-default-email"})


def together(findings: Findings, documents: dict[str, Any]) -> Names:
    """What only shows over all files: doubles, and names that do not exist."""
    names: dict[str, dict[tuple[Any, Any], str]] = {
        "contactPoints": {},
        "templates": {},
        "muteTimes": {},
        "policies": {},
    }
    receivers: dict[object, str] = {}
    for file, document in documents.items():
        for key, seen in names.items():
            for index, item in enumerate(items(get(document, key))):
                with findings.in_file(file), findings.at(f"{key}[{index}]"):
                    org = get(item, "orgId") or 1
                    name = "the tree" if key == "policies" else get(item, "name")
                    if (org, name) in seen:
                        with findings.at("orgId" if key == "policies" else "name"):
                            findings.add(f"{name!r} is there already in organisation {org}, in {seen[org, name]}")
                    seen.setdefault((org, name), f"{file} {key}[{index}]")
                    for number, receiver in enumerate(items(get(item, "receivers"))):
                        value = get(receiver, "uid")
                        if value in receivers:
                            with findings.at(f"receivers[{number}].uid"):
                                findings.add(f"the uid {value!r} is taken already, by {receivers[value]}")
                        receivers.setdefault(value, f"{file} {key}[{index}].receivers[{number}]")
    known = {key: [name for _, name in seen] for key, seen in names.items()}
    found = Names(
        frozenset(str(name) for name in known["contactPoints"]) | DEFAULT_RECEIVERS,
        frozenset(str(name) for name in known["muteTimes"]),
    )
    for file, document in documents.items():
        for index, policy in enumerate(items(get(document, "policies"))):
            with findings.in_file(file), findings.at(f"policies[{index}]"):
                _tree(findings, policy, found)
    return found


def _tree(findings: Findings, route: Any, names: Names) -> None:
    if isinstance(route, dict):
        check_names(findings, route, names)
    for index, child in enumerate(items(get(route, "routes"))):
        with findings.at(f"routes[{index}]"):
            _tree(findings, child, names)


def check_names(findings: Findings, route: dict[str, Any], names: Names) -> None:
    """The contact point and the mute timings that a route, or a rule's own settings, names."""
    receiver = route.get("receiver")
    if isinstance(receiver, str) and receiver not in names.receivers:
        with findings.at("receiver"):
            findings.add(f"no contact point is called {receiver!r}; there are {', '.join(sorted(names.receivers))}")
    for key in ("mute_time_intervals", "active_time_intervals"):
        for index, name in enumerate(items(route.get(key))):
            if name not in names.mute_times:
                with findings.at(f"{key}[{index}]"):
                    findings.add(
                        f"no mute timing is called {name!r}; there are {', '.join(sorted(names.mute_times)) or 'none'}"
                    )
