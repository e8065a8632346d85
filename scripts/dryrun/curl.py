"""Requests from inside a machine, or from an address of the Internet side, by curl: the way that a user would ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dryrun import host
from dryrun.machine import Machine
from dryrun.network import Network

SECONDS = 5
_STATUS = "\n%{http_code}"


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 if nothing did."""

    status: int
    body: str

    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def from_machine(machine: Machine, url: str, *options: str, query: Mapping[str, str] | None = None) -> Answer:
    """A request from inside a machine; `options` are curl's, `query` is put into the URL."""
    return _answer(machine.run(*_curl(url, *options, *_encoded(query)), check=False, timeout=SECONDS + 5).stdout)


def from_outside(network: Network, address: str, url: str, *options: str) -> Answer:
    """A request from an address of the Internet."""
    command = network.command(*_curl(url, "--interface", address, *options), namespace=network.internet)
    return _answer(host.run(command, check=False, timeout=SECONDS + 5).stdout)


def _encoded(query: Mapping[str, str] | None) -> list[str]:
    if query is None:
        return []
    return ["--get", *(word for name, value in query.items() for word in ("--data-urlencode", f"{name}={value}"))]


def _curl(url: str, *options: str) -> list[str]:
    # -q: no ~/.curlrc; --noproxy: a proxy of the caller's environment has no place in the run's network.
    return ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", str(SECONDS), "--write-out", _STATUS, *options, url]


def _answer(output: str) -> Answer:
    body, _, status = output.rpartition("\n")
    return Answer(int(status) if status.isdigit() else 0, body)


def log_lines(machine: Machine, store: str, query: str) -> list[str]:
    """Lines that the log store at `store` has for a LogQL query, asked from inside `machine`."""
    answer = from_machine(
        machine, f"http://{store}:3100/loki/api/v1/query_range", query={"query": query, "limit": "1000"}
    )
    content = answer.json()
    if answer.status != 200 or not content:
        return []
    return [line for stream in content["data"]["result"] for _, line in stream["values"]]


def samples(machine: Machine, store: str, query: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series that the metrics store has for an instant query, now or `at` a Unix time."""
    when = {} if at is None else {"time": f"{at:.3f}"}
    answer = from_machine(machine, f"http://{store}:9090/api/v1/query", query={"query": query, **when})
    content = answer.json()
    if answer.status != 200 or not content:
        return []
    return [(series["metric"], float(series["value"][1])) for series in content["data"]["result"]]
