"""What systemd in the machine says about the daemons' units."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dryrun.machine import Machine

DAEMONS = ("cairn-app", "cairn-log-shipper", "cairn-log-store", "cairn-metrics-store")
MAX_EXPOSURE = 2.0


@dataclass(frozen=True)
class UnitState:
    """The properties of a unit that the tests look at."""

    active: str
    enabled: str
    pid: int
    restarts: int
    result: str
    exit_status: int
    status_text: str
    start_ms: float
    """From the start of the process to its READY, by systemd's clock."""


def state(machine: Machine, unit: str) -> UnitState:
    """The unit as systemd sees it now."""
    names = (
        "ActiveState,UnitFileState,MainPID,NRestarts,Result,ExecMainStatus,StatusText,"
        "ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic"
    )
    shown = machine.run("systemctl", "show", f"{unit}.service", f"--property={names}").stdout
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    started, entered = int(values["ExecMainStartTimestampMonotonic"]), int(values["ActiveEnterTimestampMonotonic"])
    return UnitState(
        active=values["ActiveState"],
        enabled=values["UnitFileState"],
        pid=int(values["MainPID"]),
        restarts=int(values["NRestarts"]),
        result=values["Result"],
        exit_status=int(values["ExecMainStatus"]),
        status_text=values["StatusText"],
        start_ms=(entered - started) / 1000,
    )


def journal(machine: Machine, unit: str, lines: int = 15) -> str:
    """The last words of a unit, for a failed assertion."""
    return machine.run("journalctl", "--no-pager", f"--lines={lines}", f"--unit={unit}", check=False).stdout


def exposure(machine: Machine, unit: str) -> float:
    """The running unit's score."""
    said = machine.run("systemd-analyze", "security", "--no-pager", f"{unit}.service").stdout
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert match, f"systemd-analyze gave no score for {unit}:\n{said}"
    return float(match[1])
