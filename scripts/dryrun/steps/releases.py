"""Steps 1 and 13: the packages, their repository, a next release and the way back that is refused."""

from __future__ import annotations

import re

from dryrun import grafana, host, repack
from dryrun.fleet import ROLES, UNITS
from dryrun.machine import Machine
from dryrun.repository import PACKAGES, Repository, ensure_debs, newest_debs
from dryrun.run import Run
from dryrun.steps.boot import check_units, main_pids
from dryrun.steps.restarts import lines_still_there

# The bound.
PACKAGE_BYTES = 10_000_000
APT_SECONDS = 120.0
# Where users read what to type for a new release, and how to find it there.
GUIDE = "terraform/README.md"
UPGRADE_ROW = re.compile(r"^\| a new release \|.*?`(sudo apt-get update && sudo [^`]+)`", re.M)
# A line of an administrator's.
ADMIN_LINE = "# Changed by hand; an upgrade leaves it as it is."


def prepare(run: Run) -> None:
    """Step 1."""
    with run.work.deadline_off():
        # However long the compiler needs: the budget is for what is done with the packages.
        ensure_debs(run.tree, run.build, run.report.say, run.log("build-debs.log"))
    debs = newest_debs(run.tree / "dist")
    for name, deb in debs.items():
        size = deb.stat().st_size
        run.report.check(
            size < PACKAGE_BYTES, f"{name} {repack.field(deb, 'Version')}: {size / 1e6:.1f} MB (10 at most)"
        )
    lintian = host.run(
        ["lintian", "--fail-on", "error,warning", "--suppress-tags", "initial-upload-closes-no-bugs", *debs.values()],
        timeout=APT_SECONDS,
        check=False,
    )
    run.report.check(lintian.returncode == 0, "lintian: no errors, no warnings", lintian.stdout + lintian.stderr)
    run.packages = Repository(run.work, run.tree)
    run.packages.publish()
    index = run.packages.folder / "dists/stable/InRelease"
    run.report.check(index.is_file(), "a signed repository of them")
    run.grafana = grafana.obtain(run.work, run.tree, run.report.say)
    kind = "stand-in" if run.grafana.is_stand_in else "stock package"
    run.report.check(True, f"grafana {run.grafana.version}: {kind}")
    formats = host.run([run.tree / "scripts/check-provisioning"], timeout=APT_SECONDS, check=False)
    run.report.check(
        formats.returncode == 0,
        "cairn-grafana's files keep to Grafana's formats (scripts/check-provisioning)",
        formats.stdout + formats.stderr,
    )


def upgrade(run: Run) -> None:
    """Step 13."""
    old = run.packages.versions()
    new = run.packages.publish_next()
    outcome = run.cloud.terraform.apply()
    run.report.check(True, f"a next release in the bucket: apply took {outcome.seconds:.0f} s")
    typed = upgrade_line((run.tree / GUIDE).read_text(encoding="utf-8"))
    run.report.say(f"as {GUIDE} says, without a terminal: {typed}")
    for role in ROLES:
        machine, before = run.fleet[role], main_pids(run.fleet[role], role)
        files = changed_by_hand(machine)
        # A user's shell does not say that nobody is there to ask; standard input is /dev/null.
        done = machine.shell(f"unset DEBIAN_FRONTEND; {typed}", check=False, timeout=APT_SECONDS)
        ours = [package for package in installed_packages(machine) if package in new]
        versions = {package: installed_packages(machine)[package] for package in ours}
        good = done.returncode == 0 and versions == {package: new[package] for package in ours} and bool(ours)
        run.report.check(
            good, f"{role}: {', '.join(ours)} upgraded", f"{versions}\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
        )
        check_configuration(run, role, files)
        check_units(run, role)
        after = main_pids(machine, role)
        restarted = all(after[unit] != before[unit] for unit in UNITS[role] if unit in PACKAGES)
        run.report.check(restarted, f"{role}: the upgrade restarted its units", f"before: {before}\nafter: {after}")
    lines_still_there(run, "the marked log lines are there after the upgrade")
    refused_downgrade(run, old, new)


def upgrade_line(guide: str) -> str:
    """The commands that the documentation names for a new release, as they stand there."""
    found = UPGRADE_ROW.search(guide)
    if found is None:
        raise ValueError(f"{GUIDE} has no row 'a new release' with the commands in backquotes")
    # In a table a bar has to be escaped.
    return found[1].replace("\\|", "|")


def changed_by_hand(machine: Machine) -> dict[str, str]:
    """Adds a line to every configuration file of Cairn's packages; returns what they hold then."""
    packages = [package for package in installed_packages(machine) if package in PACKAGES]
    listing = machine.run("dpkg-query", "--show", "--showformat=${Conffiles}\n", *packages).stdout
    names = [line.split()[0] for line in listing.splitlines() if line.split()[0:1] and ".toml " in line]
    for name in names:
        machine.write(name, f"{machine.read(name)}{ADMIN_LINE}\n", int(machine.run("stat", "-c%a", name).stdout, 8))
    return {name: machine.read(name) for name in names}


def check_configuration(run: Run, role: str, files: dict[str, str]) -> None:
    """Files that were changed by hand are as they were, and the release's own lie beside them."""
    machine = run.fleet[role]
    lost = [name for name, text in files.items() if machine.read(name) != text]
    beside = [name for name in files if machine.exists(f"{name}.dpkg-dist")]
    came = [name for name in beside if repack.NEW_LINE in machine.read(f"{name}.dpkg-dist")]
    text = f"{role}: {', '.join(files)} kept as changed by hand, the release's own beside"
    run.report.check(bool(files) and not lost and came == list(files), text, f"lost: {lost}\nbeside: {beside}")


def refused_downgrade(run: Run, old: dict[str, str], new: dict[str, str]) -> None:
    """An older package refuses to replace a newer one, which goes on running."""
    machine, package = run.fleet["log-store"], "cairn-log-store"
    before = main_pids(machine, "log-store")[package]
    done = machine.run(
        *("apt-get", "-q", "-y", "--allow-downgrades", "install", f"{package}={old[package]}"),
        check=False,
        timeout=APT_SECONDS,
    )
    said = done.stdout + done.stderr
    run.report.check(
        done.returncode != 0 and "CAIRN_ALLOW_DOWNGRADE" in said,
        f"log-store: going back to {old[package]} is refused, with what to do",
        said[-2000:],
    )
    version = installed_packages(machine)[package]
    run.report.check(version == new[package], f"log-store: {package} {version} stays installed", version)
    check_units(run, "log-store")
    after = main_pids(machine, "log-store")[package]
    run.report.say(f"log-store: main process {before} before, {after} after the refusal")


def installed_packages(machine: Machine) -> dict[str, str]:
    """Versions of the installed packages by name."""
    shown = machine.run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status} ${Version}\n").stdout
    rows = (line.split() for line in shown.splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"}
