"""One run: its state, the steps in order, and what becomes of them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dryrun.cloud import Cloud
from dryrun.fleet import Fleet
from dryrun.grafana import Grafana
from dryrun.network import Network
from dryrun.report import Report, StepFailed
from dryrun.repository import Repository
from dryrun.workspace import DeadlineOver, Workspace

# A step that takes longer than its budget is noted. One that takes much longer is ended.
PATIENCE = 2.0
PATIENCE_SECONDS = 60.0


@dataclass
class Run:
    """What the steps share. The later parts are there once the step that makes them is through."""

    tree: Path
    """The repository's root."""
    work: Workspace
    report: Report
    build: bool = False
    """Build the packages even if dist/ has some."""
    placement: str = "public"
    """Terraform's variable of that name: whether machines have public addresses."""
    image: Path = field(init=False)
    grafana: Grafana = field(init=False)
    packages: Repository = field(init=False)
    network: Network = field(init=False)
    cloud: Cloud = field(init=False)
    fleet: Fleet = field(init=False)
    marker: str = field(init=False)
    """Path of the requests that step 7 sent; their log lines must outlive everything that follows."""

    def stop(self) -> None:
        """End the local AWS, if it was begun; the workspace sees to everything else."""
        if hasattr(self, "cloud"):
            self.cloud.stop()

    def log(self, name: str) -> Path:
        """Path of one of the run's logs."""
        return self.work.logs / name


@dataclass(frozen=True)
class Step:
    """One step of a run."""

    number: int
    title: str
    budget: float
    action: Callable[[Run], None]
    setup: bool = False
    """Later steps stand on it: it is done whatever --only and --from say, and its failure ends the run."""


def select(steps: Sequence[Step], only: Sequence[int], first: int | None) -> list[Step]:
    """The steps to do: all, or the setup and those that were asked for."""
    if not only and first is None:
        return list(steps)
    wanted = set(only) | ({step.number for step in steps if step.number >= first} if first is not None else set())
    last = max(wanted)
    return [step for step in steps if step.number in wanted or (step.setup and step.number <= last)]


def perform(run: Run, steps: Sequence[Step]) -> None:
    """Do the steps; a failure is reported, and ends the run where others stand on it."""
    for step in steps:
        run.report.begin(step.number, step.title, step.budget)
        start = time.monotonic()
        through = False
        try:
            with run.work.deadline(step.budget * PATIENCE + PATIENCE_SECONDS):
                step.action(run)
            through = True
        except StepFailed:
            pass
        except DeadlineOver as problem:
            run.report.check(False, f"the step ended in time: {problem}")
        except Exception as problem:  # A bug or a broken tool: report it as a failure, and clear up in any case.
            # The first line says what; the rest may be a whole log.
            lines = (str(problem) or type(problem).__name__).splitlines()
            trace = run.log(f"step-{step.number:02}.trace")
            trace.write_text(traceback.format_exc(), encoding="utf-8")
            run.report.check(False, lines[0], "\n".join(lines[1:]), trace)
        finally:
            run.report.end(time.monotonic() - start)
        if step.setup and (not through or run.report.steps[-1].failed):
            run.report.line(f"     the steps after {step.number} need what it makes: they are left out")
            return
