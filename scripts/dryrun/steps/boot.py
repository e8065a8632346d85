"""Steps 2 and 6: the image, and the machines' first boot with the user-data that Terraform rendered."""

from __future__ import annotations

from dryrun.fleet import ROLES, UNITS
from dryrun.image import Image
from dryrun.machine import Machine
from dryrun.run import Run

FIRST_BOOT_SECONDS = 120.0
# Where each machine's data volume has to be.
DATA_FOLDERS = {
    "log-store": "/var/lib/cairn-log-store",
    "app": "/var/lib/cairn-log-shipper",
    "metrics-store": "/var/lib/cairn-metrics-store",
    "grafana": "/var/lib/grafana",
}
# Grafana keeps its plugins there, and some of them are programs.
PROGRAMS_ON_VOLUME = ("grafana",)


def image(run: Run) -> None:
    """Step 2."""
    found = Image.of_host()
    where = "from the cache" if found.cached() else "built"
    run.image = found.ensure(run.report.say, run.log("image.log"))
    run.report.check(run.image.is_dir(), f"Debian 12 image {found.key}, {where}")


def first_boot(run: Run) -> None:
    """Step 6."""
    run.fleet.boot()
    ended = run.fleet.first_boots(ROLES, FIRST_BOOT_SECONDS)
    for role in ROLES:
        machine, result = run.fleet[role], ended[role]
        good = result.status == "done" and result.source.startswith("DataSourceEc2")
        run.report.need(
            good,
            f"{role}: cloud-init {result.status}, user-data from {result.source or 'nowhere'}",
            "\n".join(result.errors) + "\n" + last_lines(machine),
            machine.console,
        )
        check_units(run, role)
        said = f"cairn-boot: ready: {' '.join(UNITS[role])}"
        run.report.check(said in machine.console_text(), f"{role}: the console says ready", log=machine.console)
        check_volume(run, role)
        check_security_updates(run, role)
    check_console_output(run)
    run.report.table(start_times(run))


def check_console_output(run: Run) -> None:
    """The command that Terraform's output names shows how far a machine is."""
    instance = run.fleet.instances["grafana"].instance_id
    shown = run.cloud.aws("ec2", "get_console_output", InstanceId=instance, Latest=True).get("Output", "")
    run.report.check("cairn-boot: ready" in shown, "aws ec2 get-console-output shows it", shown[-500:])


def check_units(run: Run, role: str) -> bool:
    """Every unit of a machine is active and was notified ready, and none failed."""
    machine = run.fleet[role]
    states = {unit: properties(machine, unit, "ActiveState", "Type", "StatusText") for unit in UNITS[role]}
    good = all(state["ActiveState"] == "active" and state["Type"] == "notify" for state in states.values())
    failed = machine.failed_units()
    detail = "\n".join(f"{unit}: {state}" for unit, state in states.items()) + f"\nfailed: {', '.join(failed)}"
    text = f"{role}: {', '.join(UNITS[role])} active and notified ready, no failed unit"
    return run.report.check(good and not failed, text, detail, machine.console)


def check_volume(run: Run, role: str) -> None:
    """The data folder is the volume, mounted with the options that belong to it."""
    machine = run.fleet[role]
    found = machine.run("findmnt", "--noheadings", "--output", "SOURCE,OPTIONS", DATA_FOLDERS[role], check=False).stdout
    source, options = (found.split() + ["", ""])[:2]
    wanted = {"nodev", "nosuid", "noatime"} | ({"noexec"} if role not in PROGRAMS_ON_VOLUME else set())
    good = source == "/dev/nvme1n1" and wanted <= set(options.split(","))
    text = f"{role}: {DATA_FOLDERS[role]} is the data volume ({', '.join(sorted(wanted))})"
    run.report.check(good, text, found)


def check_security_updates(run: Run, role: str) -> None:
    """Debian's security updates install themselves, and nothing else does."""
    dump = run.fleet[role].shell("apt-config dump APT::Periodic Unattended-Upgrade::Origins-Pattern").stdout
    origins = [line for line in dump.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]
    timer = run.fleet[role].run("systemctl", "is-active", "apt-daily-upgrade.timer", check=False).stdout.strip()
    good = 'APT::Periodic::Unattended-Upgrade "1"' in dump and timer == "active"
    only_security = bool(origins) and all("Debian-Security" in line for line in origins)
    run.report.check(good and only_security, f"{role}: only security updates install themselves", f"{timer}\n{dump}")


def start_times(run: Run) -> list[str]:
    """How long each daemon took from its start to its notice that it is ready, and what its package weighs on disk."""
    lines = []
    for role in ROLES:
        for unit in UNITS[role]:
            state = properties(
                run.fleet[role], unit, "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"
            )
            microseconds = int(state["ActiveEnterTimestampMonotonic"]) - int(state["ExecMainStartTimestampMonotonic"])
            lines.append(f"{role:<14} {unit:<20} ready {microseconds / 1000:6.0f} ms after its start")
    return lines


def properties(machine: Machine, unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit."""
    wanted = [f"--property={name}" for name in names]
    shown = machine.run("systemctl", "show", *wanted, unit).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def main_pids(machine: Machine, role: str) -> dict[str, str]:
    """Main process of each of a machine's units: the same number as before says that it was not restarted."""
    return {unit: properties(machine, unit, "MainPID")["MainPID"] for unit in UNITS[role]}


def last_lines(machine: Machine, count: int = 12) -> str:
    """The end of a machine's console log."""
    return "\n".join(machine.console_text().splitlines()[-count:])
