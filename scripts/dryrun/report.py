"""What the dry run prints: a line per assertion with the time since the start, and a table of the steps at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO


class StepFailed(Exception):
    """A step cannot go on: what later steps need is not there."""


@dataclass
class StepResult:
    """What became of one step."""

    number: int
    title: str
    budget: float
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    note: str = ""


@dataclass
class Report:
    """Prints as it goes, to standard output and into a file, and keeps count."""

    out: TextIO = sys.stdout
    file: TextIO | None = None
    steps: list[StepResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = time.monotonic()

    def log_to(self, path: Path) -> None:
        """Write everything to this file as well from now on."""
        self.file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed in close()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    @property
    def failures(self) -> int:
        """How many assertions did not hold."""
        return sum(step.failed for step in self.steps)

    def line(self, text: str = "") -> None:
        """Print a line as it is."""
        print(text, file=self.out, flush=True)
        if self.file is not None:
            print(text, file=self.file, flush=True)

    def say(self, text: str) -> None:
        """Progress, or something that the reader has to know."""
        self.line(f"     {self.seconds:6.1f}s  {text}")

    def note(self, text: str) -> None:
        """Something that a reader of the result has to know."""
        self.line(f"NOTE {self.seconds:6.1f}s  {text}")

    def begin(self, number: int, title: str, budget: float) -> None:
        """Start a step."""
        self.steps.append(StepResult(number, title, budget))
        self.line(f"-- {number:2} {title}")

    def end(self, seconds: float) -> None:
        """End the step, with the time that it took."""
        step = self.steps[-1]
        step.seconds = seconds
        if seconds > step.budget:
            step.note = f"over its {step.budget:.0f} s"

    def check(self, holds: bool, text: str, detail: str = "", log: Path | None = None) -> bool:
        """One assertion; `detail` and the path of a log are shown when it does not hold."""
        if not self.steps:
            self.begin(0, "start", 0)
        step = self.steps[-1]
        if holds:
            step.passed += 1
            self.line(f"ok   {self.seconds:6.1f}s  {text}")
        else:
            step.failed += 1
            self.line(f"FAIL {self.seconds:6.1f}s  {text}" + (f"; log: {log}" if log else ""))
            for line in detail.strip().splitlines():
                self.line(f"               {line}")
        return holds

    def need(self, holds: bool, text: str, detail: str = "", log: Path | None = None) -> None:
        """An assertion that the rest of the step stands on."""
        if not self.check(holds, text, detail, log):
            raise StepFailed(text)

    def table(self, lines: Sequence[str]) -> None:
        """Lines that belong together, indented."""
        for line in lines:
            self.line(f"     {line}")

    def summary(self) -> None:
        """The table of the steps."""
        self.line()
        self.line(f"{'step':<44} {'seconds':>8} {'budget':>7} {'ok':>5} {'FAIL':>5}")
        for step in self.steps:
            name = f"{step.number:2} {step.title}"
            note = f"  {step.note}" if step.note else ""
            self.line(f"{name:<44} {step.seconds:8.1f} {step.budget:7.0f} {step.passed:5} {step.failed:5}{note}")
        passed = sum(step.passed for step in self.steps)
        self.line(f"{'all':<44} {self.seconds:8.1f} {'':7} {passed:5} {self.failures:5}")
