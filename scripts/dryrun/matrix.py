"""The matrix of ports: from every machine and from outside, to every port of every machine.

What has to answer is written here by hand from the design's table, never derived from the rules under
test: a rule that Terraform forgot or has too many then shows as a wrong cell.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dryrun import host
from dryrun.network import ADMIN, STRANGER, USER, VPC, Network

SSH, GRAFANA, LOG_STORE, APP, METRICS_STORE, SHIPPER = 22, 3000, 3100, 5000, 9090, 12345
SHOP = (8080, 8081, 8082, 8083)
OTLP = (4317, 4318)
LOG_STORE_GRPC = 9096
PORTS = (SSH, GRAFANA, LOG_STORE, *OTLP, APP, *SHOP, METRICS_STORE, LOG_STORE_GRPC, SHIPPER)

# Where something listens already, so that a refusal would mean that it does not run. The shop's ports are open for a
# later release: there a refusal by the machine shows just as well that the packet arrived.
LISTENING = {
    "app": (SSH, APP, SHIPPER),
    "log-store": (SSH, LOG_STORE, SHIPPER),
    "metrics-store": (SSH, METRICS_STORE, SHIPPER),
    "grafana": (SSH, GRAFANA, SHIPPER),
}

OUTSIDE = {"admin": ADMIN, "user": USER, "stranger": STRANGER}


@dataclass(frozen=True)
class Allowed:
    """One row of the design's table: into which machine, from where, on which ports."""

    into: str
    source: str
    """A role, or `web`, `ssh`, `vpc` for the network of that name."""
    ports: tuple[int, ...]


DESIGN = (
    *(Allowed(role, "ssh", (SSH,)) for role in LISTENING),
    Allowed("app", "web", (APP, *SHOP)),
    Allowed("app", "metrics-store", (APP, *SHOP)),
    *(Allowed(role, "metrics-store", (SHIPPER,)) for role in ("app", "log-store", "grafana")),
    Allowed("metrics-store", "web", (METRICS_STORE,)),
    Allowed("metrics-store", "grafana", (METRICS_STORE,)),
    Allowed("grafana", "web", (GRAFANA,)),
    Allowed("grafana", "metrics-store", (GRAFANA,)),
    Allowed("log-store", "vpc", (LOG_STORE,)),
    Allowed("log-store", "grafana", (LOG_STORE,)),
)


@dataclass(frozen=True)
class Node:
    """A machine as the matrix knows it."""

    role: str
    private: str
    public: str | None


@dataclass(frozen=True)
class Cell:
    """One try: from whom, to which machine, by its public or private address, on which port."""

    source: str
    target: str
    public: bool
    port: int


@dataclass(frozen=True)
class Cidrs:
    """The networks that the deployment was told to let in."""

    web: str
    ssh: str | None


def cells(nodes: Sequence[Node]) -> list[Cell]:
    """Every cell: machines try each other's private addresses, outsiders both the public and the private one."""
    found = []
    for source in nodes:
        found += [Cell(source.role, target.role, False, port) for target in nodes if target != source for port in PORTS]
    for outsider in OUTSIDE:
        for target in nodes:
            sides = (True, False) if target.public else (False,)
            found += [Cell(outsider, target.role, public, port) for public in sides for port in PORTS]
    return found


def expected(cell: Cell, nodes: Sequence[Node], cidrs: Cidrs) -> bool:
    """Whether the design lets this cell through."""
    inside = cell.source not in OUTSIDE
    if not inside and not cell.public:
        # The Internet cannot address the VPC, whatever the groups say.
        return False
    address = next((n.private for n in nodes if n.role == cell.source), None) or OUTSIDE[cell.source]
    networks = {"web": cidrs.web, "ssh": cidrs.ssh, "vpc": str(VPC)}
    for row in DESIGN:
        if row.into != cell.target or cell.port not in row.ports:
            continue
        if row.source == cell.source:
            return True
        network = networks.get(row.source)
        if network and ipaddress.ip_address(address) in ipaddress.ip_network(network):
            return True
    return False


def judge(cell: Cell, wanted: bool, seen: str) -> bool:
    """Whether an answer (`open`, `refused`, `silent`) is what the design wants."""
    if not wanted:
        return seen == "silent"
    if cell.port in LISTENING[cell.target]:
        return seen == "open"
    return seen in ("open", "refused")


@dataclass
class Matrix:
    """The answers, and what was wanted."""

    nodes: Sequence[Node]
    wanted: dict[Cell, bool]
    seen: dict[Cell, str]

    @property
    def wrong(self) -> list[Cell]:
        """Cells whose answer is not what the design wants."""
        return [cell for cell, wanted in self.wanted.items() if not judge(cell, wanted, self.seen[cell])]

    def table(self) -> list[str]:
        """`yes` = reachable as wanted, `.` = blocked as wanted, `!ope`, `!ref`, `!sil` = the wrong answer that came."""
        lines = [f"{'from':<14} {'to':<22} " + " ".join(f"{port:>5}" for port in PORTS)]
        rows: dict[tuple[str, str, bool], list[str]] = {}
        for cell, wanted in self.wanted.items():
            seen = self.seen[cell]
            mark = ("yes" if wanted else ".") if judge(cell, wanted, seen) else f"!{seen[:3]}"
            rows.setdefault((cell.source, cell.target, cell.public), []).append(mark)
        for (source, target, public), marks in rows.items():
            shown = f"{target} (private)" if source in OUTSIDE and not public else target
            lines.append(f"{source:<14} {shown:<22} " + " ".join(f"{mark:>5}" for mark in marks))
        return lines


def measure(network: Network, nodes: Sequence[Node], cidrs: Cidrs) -> Matrix:
    """Try every cell, all at once; what looks wrong is tried a second time, since a busy computer can be late."""
    wanted = {cell: expected(cell, nodes, cidrs) for cell in cells(nodes)}
    matrix = Matrix(nodes, wanted, probe_all(network, nodes, wanted))
    if wrong := matrix.wrong:
        matrix.seen.update(probe_all(network, nodes, wrong))
    return matrix


def probe_all(network: Network, nodes: Sequence[Node], wanted: Iterable[Cell]) -> dict[Cell, str]:
    """Try these cells; one prober per source, in that source's namespace."""
    addresses = {
        (node.role, public): node.public if public else node.private for node in nodes for public in (True, False)
    }
    by_source: dict[str, list[Cell]] = {}
    for cell in wanted:
        by_source.setdefault(cell.source, []).append(cell)
    running = []
    seen: dict[Cell, str] = {}
    try:
        for source, tries in by_source.items():
            outside = OUTSIDE.get(source)
            namespace = network.internet if outside else network.machine_namespace(source)
            command = network.command(sys.executable, Path(__file__).with_name("probe.py"), namespace=namespace)
            request = {"from": outside, "to": [(addresses[c.target, c.public], c.port) for c in tries]}
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            running.append((process, tries))
            assert process.stdin is not None
            process.stdin.write(json.dumps(request))
            process.stdin.close()
            process.stdin = None
        for process, tries in running:
            answers = process.communicate(timeout=30)[0]
            seen.update(zip(tries, json.loads(answers), strict=True))
    finally:
        for process, _ in running:
            if process.poll() is None:
                host.kill_group(process)
                process.wait()
    return seen
