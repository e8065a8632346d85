"""The command line of scripts/dry-run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dryrun import fast, preconditions
from dryrun.report import Report
from dryrun.run import Run, perform, select
from dryrun.steps import STEPS
from dryrun.workspace import INTERRUPTED, Interrupted, Workspace, remains, sweep_dead

TREE = Path(__file__).resolve().parents[2]
RUNS = TREE / ".cairn/dryrun"
SKIPPED = 77
# Logs of so many runs are kept.
KEPT_RUNS = 10
PLACEMENTS = ("public", "entry", "private")

DESCRIPTION = """\
Deploys Cairn on this computer as its users deploy it, and looks whether everything works: packages, terraform apply
with the real AWS provider against a local AWS, one booted machine per instance with its user-data, security groups,
reboot, replacement, upgrade, bad input, destroy. Only AWS's API is mocked. Needs root (--fast: only
for its machine); about ten minutes once the packages are built.
"""

EPILOG = f"""\
Steps:
{chr(10).join(f"  {step.number:2}  {step.title}" for step in STEPS)}

Logs go to .cairn/dryrun/<run>/. Exit status: 0 all well, 1 something failed, 77 skipped for want of something.
CAIRN_DRYRUN_MIRROR names a Debian mirror for the machine image; by default it is the one that this host's apt uses.
"""


def numbers(text: str) -> list[int]:
    """`8,11` as a list of step numbers."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of step numbers such as 8,11") from None
    known = {step.number for step in STEPS}
    if unknown := [number for number in found if number not in known]:
        raise argparse.ArgumentTypeError(f"there is no step {unknown[0]}; see --help")
    return found


def number(text: str) -> int:
    """One step number."""
    found = numbers(text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not one step number")
    return found[0]


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(
        "scripts/dry-run", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--fast", action="store_true", help="what CI runs: all static checks, and the log store alone, booted"
    )
    made.add_argument(
        "--keep", action="store_true", help="leave everything running at the end, and say how to enter it"
    )
    made.add_argument("--build", action="store_true", help="build the packages anew, twice, and compare every byte")
    made.add_argument("--clean", action="store_true", help="only clear what earlier runs left, kept ones as well")
    made.add_argument(
        "--placement", choices=PLACEMENTS, default=PLACEMENTS[0], help="Terraform's variable (default: public)"
    )
    made.add_argument("--only", type=numbers, default=[], metavar="N,N", help="these steps and what they stand on")
    made.add_argument(
        "--from", type=number, dest="first", metavar="N", help="this step, later ones, and what they stand on"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run; returns the exit status."""
    made = parser()
    options = made.parse_args(arguments)
    if options.clean:
        cleared = sweep_dead(kept_too=True)
        print(f"cleared: {', '.join(cleared) or 'nothing was left'}")
        return 0
    report = Report()
    if options.fast:
        if options.only or options.first:
            made.error("--fast has steps of its own: --only and --from do not go with it")
        return fast.main(TREE, RUNS, report)
    if missing := preconditions.missing(TREE):
        print(f"SKIP dry-run: {missing}")
        return SKIPPED
    return whole(options, report)


def whole(options: argparse.Namespace, report: Report) -> int:
    """The run with everything that was asked for."""
    report.begin(0, "tools, leftovers of earlier runs", 5)
    report.check(True, "everything that a run needs is here")
    cleared = sweep_dead()
    report.check(True, f"left by runs that died, cleared now: {', '.join(cleared) or 'nothing'}")
    report.end(report.seconds)
    forget_old_logs(RUNS)
    work = Workspace(RUNS, keep=options.keep)
    interrupted = False
    try:
        with work:
            report.log_to(work.logs / "report.txt")
            report.say(f"run {work.id}, logs in {work.logs.relative_to(TREE)}")
            run = Run(TREE, work, report, build=options.build, placement=options.placement)
            try:
                perform(run, select(STEPS, options.only, options.first))
            finally:
                if options.keep:
                    tell_how_to_enter(run)
                else:
                    report.say("clearing up")
                    run.stop()
    except Interrupted as reason:
        interrupted = True
        report.line(f"FAIL {report.seconds:6.1f}s  interrupted ({reason})")
    if not options.keep:
        left = remains(work.id, work.logs)
        report.check(
            not left, "nothing of this run is left: namespaces, mounts, loop devices, processes", "\n".join(left)
        )
    report.summary()
    report.close()
    if interrupted:
        return INTERRUPTED
    return 1 if report.failures else 0


def tell_how_to_enter(run: Run) -> None:
    """After --keep."""
    run.report.line("     kept; a shell in a machine:")
    for name, machine in run.fleet.machines.items() if hasattr(run, "fleet") else ():
        if machine.running:
            run.report.line(f"       {name}: {' '.join(machine.enter_command('bash', '-l'))}")
    run.report.line("     to clear it: scripts/dry-run --clean")


def forget_old_logs(runs: Path) -> None:
    """Remove the logs of all but the newest runs."""
    folders = [path for path in runs.glob("*") if path.is_dir() and not (path / "scratch").exists()]
    for old in sorted(folders, key=lambda path: path.stat().st_mtime)[:-KEPT_RUNS]:
        for path in sorted(old.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        old.rmdir()


if __name__ == "__main__":
    # Files that a run makes are its own affair, whatever the caller's umask: machines need theirs readable.
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
