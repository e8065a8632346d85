"""`scripts/dry-run --fast`: what CI runs.

First everything that can be said without a machine, by the scripts that users call too. Then, where a machine can be
booted, the log store's: with the user-data that Terraform renders for it, by cloud-init's data source NoCloud, and the
packages from a folder; a line pushed and read, and read again after a restart.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from dryrun import curl, host, preconditions, seed
from dryrun.image import Image
from dryrun.machine import Bind, Machine
from dryrun.report import Report, StepFailed
from dryrun.repository import Repository, ensure_debs
from dryrun.workspace import INTERRUPTED, Interrupted, Workspace, interruptible, remains, sweep_dead, wait_until

# Script, what it is about, seconds that it should take at most.
STATIC = (
    ("test-terraform", "terraform", 120),
    ("check-units", "units", 20),
    ("check-provisioning", "provisioning files", 20),
)
SKIPPED = 77
# Where Vagrant puts the repository, and so the address in the user-data of terraform/examples/vagrant.
REPOSITORY = "/vagrant/dist/apt"
FIRST_BOOT_SECONDS = 120.0
UNITS = ("cairn-log-store", "cairn-log-shipper")
LINE = "a line of the dry run"
SELECTOR = '{job="dry-run-fast"}'


def main(tree: Path, runs: Path, report: Report) -> int:
    """Run; returns the exit status: 77 if something was left out and the rest is well."""
    sweep_dead()
    try:
        with interruptible():
            left_out = [reason for script in STATIC if (reason := static(tree, report, *script))]
    except Interrupted as reason:
        report.line(f"FAIL {report.seconds:6.1f}s  interrupted ({reason})")
        return INTERRUPTED
    if reason := preconditions.machines_missing():
        left_out.append(f"no machine is booted: {reason}")
    else:
        booted(tree, runs, report)
    for reason in left_out:
        report.line(f"SKIP dry-run --fast: {reason}")
    report.summary()
    report.close()
    return 1 if report.failures else SKIPPED if left_out else 0


def static(tree: Path, report: Report, name: str, title: str, budget: float) -> str:
    """One of the checks that need no machine; returns why it was left out."""
    report.begin(len(report.steps) + 1, title, budget)
    start = time.monotonic()
    # In a session of its own, so that all that it starts can be ended with it.
    process = subprocess.Popen(
        [tree / "scripts" / name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        with process.stdout:
            # As it comes: some of these take a minute.
            for line in process.stdout:
                lines.append(line.rstrip())
                report.table(lines[-1:])
        process.wait()
    except BaseException:
        host.end_group(process)
        raise
    report.end(time.monotonic() - start)
    if process.returncode == SKIPPED:
        said = [line for line in lines if line.startswith("SKIP")]
        return f"scripts/{name}: {said[-1].removeprefix('SKIP ') if said else 'it skipped'}"
    report.check(process.returncode == 0, f"scripts/{name}", f"it ended with status {process.returncode}, see above")
    return ""


def booted(tree: Path, runs: Path, report: Report) -> None:
    """The machine."""
    work = Workspace(runs)
    report.begin(len(report.steps) + 1, "log store, booted with its user-data", 60)
    start = time.monotonic()
    try:
        with work:
            report.log_to(work.logs / "report.txt")
            try:
                log_store(tree, work, report)
            except StepFailed:
                pass
            except Exception as problem:  # Reported as a failure; the workspace clears up in any case.
                first, *rest = (str(problem) or type(problem).__name__).splitlines()
                report.check(False, first, "\n".join(rest))
    except Interrupted as reason:
        report.check(False, f"not interrupted ({reason})")
    left = remains(work.id, work.logs)
    report.check(not left, "nothing of this run is left", "\n".join(left))
    report.end(time.monotonic() - start)


def log_store(tree: Path, work: Workspace, report: Report) -> None:
    """Boot, push, read, restart, read."""
    ensure_debs(tree, False, report.say, work.logs / "build-debs.log")
    packages = Repository(work, tree)
    packages.publish()
    image = Image.of_host().ensure(report.say, work.logs / "image.log")
    machine = Machine(work, "log-store", image, binds=[Bind(packages.folder, REPOSITORY)])
    seed.for_nocloud(machine, user_data(tree, work, packages.folder))
    machine.start(wait=False)
    ended = wait_until(lambda: machine.exists("/run/cloud-init/result.json"), FIRST_BOOT_SECONDS, 0.2)
    report.need(ended, "cloud-init ended", log=machine.console)
    result = json.loads(machine.read("/run/cloud-init/result.json"))["v1"]
    good = not result["errors"] and result["datasource"].startswith("DataSourceNoCloud")
    report.need(good, f"cloud-init done, user-data from {result['datasource']}", str(result), machine.console)
    active(machine, report)

    push = json.dumps({"streams": [{"stream": {"job": "dry-run-fast"}, "values": [[str(time.time_ns()), LINE]]}]})
    url = "http://127.0.0.1:3100/loki/api/v1/push"
    answer = curl.from_machine(machine, url, "-H", "Content-Type: application/json", "--data", push)
    report.check(answer.status == 204, "a line is pushed", str(answer))
    found = curl.log_lines(machine, "127.0.0.1", SELECTOR)
    report.check(found == [LINE], "and read", str(found))
    machine.reboot()
    active(machine, report)
    wait_until(lambda: curl.log_lines(machine, "127.0.0.1", SELECTOR) == [LINE], 20, 0.3)
    found = curl.log_lines(machine, "127.0.0.1", SELECTOR)
    report.check(found == [LINE], "and read again after a restart of the machine", str(found))


def active(machine: Machine, report: Report) -> None:
    """Every unit is active, none failed."""
    states = {unit: machine.run("systemctl", "is-active", unit, check=False).stdout.strip() for unit in UNITS}
    failed = machine.failed_units()
    good = set(states.values()) == {"active"} and not failed
    report.check(good, f"{', '.join(UNITS)} active, no failed unit", f"{states}, failed: {failed}", machine.console)


def user_data(tree: Path, work: Workspace, repository: Path) -> str:
    """The log store's text, rendered by terraform/examples/vagrant as for Vagrant."""
    copy = work.scratch / "terraform"
    shutil.copytree(tree / "terraform", copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars"))
    example = copy / "examples/vagrant"
    # It needs no provider, so no CLI configuration of the user's either.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    terraform = ["terraform", f"-chdir={example}"]
    host.run([*terraform, "init", "-input=false"], env=environment)
    variables = f"-var=package_dir={repository}"
    host.run([*terraform, "apply", "-auto-approve", "-input=false", variables], env=environment)
    outputs = json.loads(host.run([*terraform, "output", "-json"], env=environment).stdout)
    text = outputs["user_data"]["value"]["log-store"]
    assert isinstance(text, str)
    return text
