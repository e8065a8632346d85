"""Command line of `scripts/test-packages`; the shell script in front of it has checked tools and rights."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dryrun import repack, workspace
from dryrun.host import CommandFailed
from dryrun.image import Image, ImageError
from dryrun.machine import Bind, Machine, MachineError
from dryrun.report import Report, StepFailed
from packagetest import repository
from packagetest.life import PACKAGES, Life


def find_debs(folder: Path) -> dict[str, Path]:
    """The built package of each name."""
    debs = {}
    for name in PACKAGES:
        found = sorted(folder.glob(f"{name}_*.deb"))
        if len(found) != 1:
            what = "no package" if not found else f"{len(found)} packages"
            sys.exit(f"error: {what} of {name} in {folder}; run scripts/build-debs")
        debs[name] = found[0]
    return debs


def main() -> int:
    """Run every step; 1 when an assertion did not hold."""
    parser = argparse.ArgumentParser(prog="scripts/test-packages", description="The life of the packages in a booted machine.")
    parser.add_argument("--from", dest="folder", type=Path, default=Path("dist"), help="folder of the packages and of apt/")
    parser.add_argument("--keep", action="store_true", help="leave the machine running and say how to enter it")
    arguments = parser.parse_args()
    debs = find_debs(arguments.folder)
    if not (arguments.folder / "apt/dists/stable/InRelease").is_file():
        sys.exit(f"error: no repository in {arguments.folder}/apt; run scripts/build-apt-repo")

    report = Report()
    workspace.sweep_dead()
    with workspace.Workspace(Path(".cairn/packages"), keep=arguments.keep) as work:
        report.log_to(work.logs / "report.txt")
        try:
            return run(arguments.folder, debs, work, report)
        except (CommandFailed, ImageError, MachineError, StepFailed) as problem:
            report.check(False, "the run goes on", str(problem), work.logs)
            report.summary()
            return 1
        finally:
            report.close()


def run(folder: Path, debs: dict[str, Path], work: workspace.Workspace, report: Report) -> int:
    """The steps, with a workspace to work in."""
    tree = Image.of_host().ensure(report.say, work.logs / "image.log")
    newer_folder = work.scratch / "newer"
    newer_folder.mkdir()
    newer_version = repack.field(debs["cairn-app"], "Version") + ".1"
    newer = {name: repack.repack(deb, newer_version, newer_folder) for name, deb in debs.items()}
    repository_scratch = work.scratch / "repository"
    tampered = repository_scratch / "apt"
    tampered.mkdir(parents=True)
    binds = [
        Bind(folder / "apt", "/srv/apt"),
        Bind(folder, "/srv/debs"),
        Bind(newer_folder, "/srv/newer"),
        Bind(tampered, "/srv/tampered"),
    ]
    machine = Machine(work, "packages", tree, binds=binds)
    machine.start()
    life = Life(machine, report, debs, newer)

    def check_repository() -> None:
        repository.check_builds(report, debs, repository_scratch)
        repository.check_refusals(report, machine, tampered)

    facts = [f"{deb.name:<44} {deb.stat().st_size:>9} bytes" for deb in debs.values()]
    steps: list[tuple[str, float, Callable[[], list[str] | None]]] = [
        ("repository", 40, check_repository),
        ("install", 40, life.install),
        ("chain", 60, life.chain),
        ("start times", 30, life.start_times),
        ("exposure of the running units", 15, life.exposures),
        ("watchdog", 60, life.watchdog),
        ("bad configuration", 60, life.bad_configuration),
        ("upgrade", 40, life.upgrade),
        ("downgrade", 60, life.downgrade),
        ("remove and install again", 60, life.remove),
        ("purge", 30, life.purge),
    ]
    for number, (title, budget, step) in enumerate(steps, start=1):
        report.begin(number, title, budget)
        started = time.monotonic()
        try:
            facts += step() or []
        finally:
            report.end(time.monotonic() - started)
    if work.keep:
        report.say(f"the machine is left running: {' '.join(machine.enter_command('bash'))}")
    else:
        machine.stop()
    report.line()
    report.table(facts)
    report.summary()
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
