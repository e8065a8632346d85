"""Step 12: wrong values, packages that cannot be had or trusted, a full volume, a power cut in the first boot.

Keys, an index and volumes that must be refused are in refusals.py.

Each has to give a message that says what is wrong, leave no half-configured daemon behind, and heal once the cause is
gone. Machines are made anew for this, with fresh root disks and their old data volumes, as after a replacement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dryrun import curl, firewall
from dryrun.fleet import UNITS
from dryrun.machine import Machine
from dryrun.run import Run
from dryrun.steps import refusals
from dryrun.steps.boot import DATA_FOLDERS, FIRST_BOOT_SECONDS, check_units, last_lines, properties
from dryrun.steps.chain import REQUESTS, marker_lines
from dryrun.steps.infrastructure import variables
from dryrun.steps.restarts import lines_still_there
from dryrun.terraform import TerraformError
from dryrun.workspace import wait_until

HEAL_SECONDS = 120.0
# How long a first boot may take until dpkg is at work.
DPKG_SECONDS = 40.0
CUT_TRIES = 3
PUSH = '{"streams":[{"stream":{"job":"dry-run"},"values":[["%d","a line for a full volume"]]}]}'


def check(run: Run) -> None:
    """Step 12."""
    restore = begin_broken_sources(run)
    wrong_variables(run)
    for_a_while(run)
    refusals.wrong_keys(run)
    failed_first_boot(run, "app", "tampered package", restore)
    refusals.edited_index(run)
    full_volume(run)
    power_cut_in_first_boot(run)
    # By now the metrics store has given up, which takes its script a minute.
    address = run.fleet.instances["metrics-store"].private_ip
    failed_first_boot(run, "metrics-store", "bucket out of reach", lambda: firewall.unblock(run.network, address))
    missing_volume(run)
    refusals.grown_volume(run, "metrics-store", DATA_FOLDERS["metrics-store"])


def begin_broken_sources(run: Run) -> Callable[[], None]:
    """Three first boots: a tampered package, a bucket out of reach for good, a source out of reach for a while.

    Returns what restores the package.
    """
    roles = ("app", "metrics-store", "grafana")
    package = next(key for key in run.cloud.objects() if "/cairn-app_" in key and key.endswith(".deb"))
    run.cloud.tamper_object(package)
    for role in roles:
        run.fleet.forget(role)
    for role in ("metrics-store", "grafana"):
        firewall.block(run.network, run.fleet.instances[role].private_ip)
    run.fleet.boot(roles, volume_later=False)
    return lambda: run.cloud.restore_object(package)


def wrong_variables(run: Run) -> None:
    """Terraform refuses, names the variable, and says what to do."""
    empty = run.work.scratch / "no-packages"
    empty.mkdir()
    cases = (
        ({"allowed_ssh_cidr": "0.0.0.0/0"}, "allowed_ssh_cidr", "203.0.113.10/32"),
        ({"allowed_web_cidr": "10.1.2.3/8"}, "allowed_web_cidr", "host bits"),
        ({"package_dir": str(empty)}, "package_dir", "scripts/build-apt-repo"),
    )
    good = variables(run)
    # One plan for all three: Terraform reports every wrong variable.
    wrong = {name: value for values, _, _ in cases for name, value in values.items()}
    said = ""
    try:
        run.cloud.terraform.set_variables(good | wrong)
        run.cloud.terraform.changes()
    except TerraformError as problem:
        said = " ".join(str(problem).split())
    finally:
        run.cloud.terraform.set_variables(good)
    for values, name, cure in cases:
        shown = f"{name} is " in said and cure in said
        run.report.check(shown, f"{name} = {next(iter(values.values()))!r} is refused with what to do", said)


def for_a_while(run: Run) -> None:
    """Grafana's machine tries again by itself until its sources are back."""
    grafana = run.fleet["grafana"]
    tried = wait_until(lambda: "cairn-boot: try 1 of 5 failed" in grafana.console_text(), FIRST_BOOT_SECONDS, 0.2)
    run.report.check(tried, "source out of reach: the console counts the tries", last_lines(grafana), grafana.console)
    firewall.unblock(run.network, run.fleet.instances["grafana"].private_ip)
    result = run.fleet.first_boots(["grafana"], FIRST_BOOT_SECONDS)["grafana"]
    run.report.check(result.status == "done", "source back: the next try goes on by itself", "\n".join(result.errors))
    check_units(run, "grafana")


def failed_first_boot(run: Run, role: str, what: str, heal: Callable[[], None]) -> None:
    """A first boot failed with a message and without traces; with the cause gone, the script alone puts it right."""
    machine = run.fleet[role]
    result = run.fleet.first_boots([role], FIRST_BOOT_SECONDS)[role]
    status = machine.run("cloud-init", "status", "--long", check=False).stdout
    run.report.check(
        result.status == "error" and "status: error" in status,
        f"{what}: cloud-init status says error",
        status,
        machine.console,
    )
    message = "cairn-boot: FAILED in step 'packages'"
    run.report.check(message in machine.console_text(), f"{what}: {message} on the console", last_lines(machine))
    nothing = not any(installed(machine, unit) for unit in UNITS[role]) and not audit(machine)
    run.report.check(nothing, f"{what}: nothing is installed, nothing half-configured", audit(machine))
    heal()
    start = time.monotonic()
    again = machine.run("cairn-boot", check=False, timeout=HEAL_SECONDS)
    seconds = time.monotonic() - start
    run.report.check(again.returncode == 0, f"{what}: cairn-boot heals it in {seconds:.1f} s", again.stdout[-2000:])
    # The two units that could not do it say so until the next boot: of them there is nothing more to learn.
    machine.run("systemctl", "reset-failed", "cairn-boot.service", "cloud-final.service")
    check_units(run, role)


def full_volume(run: Run) -> None:
    """Writes are refused in a way that agents try again, reads go on, the daemon stays up, space heals it."""
    machine = run.fleet["log-store"]
    pid = properties(machine, "cairn-log-store", "MainPID")["MainPID"]
    ballast = "/var/lib/cairn-log-store/ballast"
    machine.shell(f"dd if=/dev/zero of={ballast} bs=1M status=none || true; sync")
    statuses: list[int] = []
    refused = wait_until(lambda: push(run, statuses) >= 500, 20, 0.2)
    run.report.check(refused, "full volume: a push is refused with 5xx, to be sent again", f"answers: {statuses[-10:]}")
    reads = len(marker_lines(run)) == REQUESTS
    run.report.check(reads, "full volume: reads go on", f"{len(marker_lines(run))} lines instead of {REQUESTS}")
    warned = machine.run("cairn-boot", check=False, timeout=HEAL_SECONDS).stdout
    run.report.check("less than 5 % free" in warned, "full volume: cairn-boot warns", warned)
    machine.run("rm", ballast)
    healed = wait_until(lambda: push(run, statuses) == 204, 20, 0.3)
    same = properties(machine, "cairn-log-store", "MainPID")["MainPID"] == pid
    run.report.check(
        healed and same, "full volume: space heals it, the process is the same", f"answers: {statuses[-10:]}"
    )


def push(run: Run, statuses: list[int]) -> int:
    """Push one line from Grafana's machine; the answer's status."""
    store = run.fleet.instances["log-store"].private_ip
    answer = curl.from_machine(
        run.fleet["grafana"],
        f"http://{store}:3100/loki/api/v1/push",
        *("-H", "Content-Type: application/json", "--data", PUSH % time.time_ns()),
    )
    statuses.append(answer.status)
    return answer.status


def power_cut_in_first_boot(run: Run) -> None:
    """The power goes while dpkg is at work; the next boot finishes what was begun."""
    for _ in range(CUT_TRIES):
        run.fleet.forget("log-store")
        run.fleet.boot(["log-store"], volume_later=False)
        machine = run.fleet["log-store"]
        # dpkg writes a package's list of files while it unpacks it; what follows takes a second.
        listing = machine.root / "var/lib/dpkg/info/cairn-log-store.list"
        wait_until(listing.exists, DPKG_SECONDS, 0.01)
        machine.power_cut()
        if half_done := unfinished(machine.root, UNITS["log-store"]):
            break
    run.report.check(bool(half_done), f"power cut while dpkg was at work: {', '.join(half_done)} unfinished")
    start = time.monotonic()
    machine.start()
    done = machine.root / "var/lib/cairn-boot.done"
    healed = wait_until(done.exists, HEAL_SECONDS, 0.1)
    seconds = time.monotonic() - start
    text = f"power cut: {seconds:.1f} s after the next start all is done"
    run.report.check(healed, text, last_lines(machine), machine.console)
    run.report.check(not audit(machine), "power cut: dpkg --audit finds nothing", audit(machine))
    check_units(run, "log-store")
    lines_still_there(run, "power cut: the marked log lines are still there")


def unfinished(root: Path, packages: tuple[str, ...]) -> list[str]:
    """Packages of a machine that is off which dpkg has not installed wholly: by its database and its journal."""
    states: dict[str, str] = {}
    files = [root / "var/lib/dpkg/status", *sorted((root / "var/lib/dpkg/updates").glob("[0-9]*"))]
    for file in files:
        for stanza in file.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
            if "Package" in fields:
                states[fields["Package"]] = fields.get("Status", "")
    return [name for name in packages if states.get(name) != "install ok installed"]


def missing_volume(run: Run) -> None:
    """The script waits for the volume, then says which one is missing and starts nothing on the root disk."""
    machine = run.fleet["metrics-store"]
    folder = DATA_FOLDERS["metrics-store"]
    machine.run("systemctl", "stop", "cairn-metrics-store", "var-lib-cairn\\x2dmetrics\\x2dstore.mount")
    machine.hide_volume()
    said = refusals.impatient(machine, "volume_wait_s", 2)
    named = "did not appear within 2 s" in said.stdout and refusals.refused_in("data volume", said)
    run.report.check(named, "missing volume: a message that names it", said.stdout + said.stderr)
    started = machine.run("systemctl", "start", "cairn-metrics-store", check=False, timeout=HEAL_SECONDS)
    empty = not machine.run("ls", "-A", folder).stdout.strip()
    run.report.check(
        started.returncode != 0 and empty, "missing volume: the daemon does not write to the root disk", started.stderr
    )
    machine.show_volume()
    refusals.foreign_volumes(run, "metrics-store")
    healed = machine.run("cairn-boot", check=False, timeout=HEAL_SECONDS)
    text = "missing volume: once it is there with its data, cairn-boot heals"
    run.report.check(healed.returncode == 0, text, healed.stdout)
    check_units(run, "metrics-store")


def installed(machine: Machine, package: str) -> bool:
    """Whether dpkg knows anything of a package."""
    shown = machine.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", package, check=False)
    return shown.returncode == 0 and shown.stdout != "not-installed"


def audit(machine: Machine) -> str:
    """What dpkg finds unfinished."""
    return machine.run("dpkg", "--audit", check=False).stdout.strip()
