"""Steps 11 and 14: machines that go away and come back, and what they still know."""

from __future__ import annotations

import time

from dryrun.fleet import ROLES
from dryrun.run import Run
from dryrun.steps.boot import FIRST_BOOT_SECONDS, check_units, check_volume, main_pids
from dryrun.steps.chain import REQUESTS, counted, marker_lines
from dryrun.steps.infrastructure import no_changes
from dryrun.workspace import wait_until

READY_SECONDS = 30.0
STATE = "/var/lib/cairn-log-store"
FOREIGN_UID = 4242
LOG_STORE_RESOURCE = "module.log_store.aws_instance.this"


def restart(run: Run) -> None:
    """Step 11: the log store is rebooted in order, the metrics store loses its power."""
    second_script_run(run)
    moment = time.time()
    before = counted(run, moment)
    run.report.need(before >= REQUESTS, "the metrics store has the marked requests before")

    start = time.monotonic()
    run.fleet["log-store"].reboot()
    run.report.say(f"log-store: rebooted, all started after {time.monotonic() - start:.1f} s")
    check_units(run, "log-store")
    check_volume(run, "log-store")
    boot_again = run.fleet["log-store"].run("systemctl", "show", "--value", "--property=ConditionResult", "cairn-boot")
    run.report.check(boot_again.stdout.strip() == "no", "log-store: cairn-boot had nothing to do", boot_again.stdout)
    lines_still_there(run, "log-store: the marked log lines are there after a reboot")

    start = time.monotonic()
    run.fleet["metrics-store"].power_cut()
    run.fleet["metrics-store"].start()
    run.report.say(f"metrics-store: power cut, all started after {time.monotonic() - start:.1f} s")
    check_units(run, "metrics-store")
    check_volume(run, "metrics-store")
    found = wait_until(lambda: counted(run, moment) == before, READY_SECONDS, 0.3)
    text = "metrics-store: the samples from before are there after a power cut"
    run.report.check(found, text, f"{counted(run, moment)} instead of {before}")


def second_script_run(run: Run) -> None:
    """`sudo cairn-boot` on a machine that is complete disturbs nothing."""
    for role in ROLES:
        before = main_pids(run.fleet[role], role)
        said = run.fleet[role].run("cairn-boot", check=False)
        same = said.returncode == 0 and main_pids(run.fleet[role], role) == before
        run.report.check(same, f"{role}: cairn-boot once more restarts nothing", said.stdout + said.stderr)


def replace(run: Run) -> None:
    """Step 14: a new instance in the log store's place, with the old one's volume and address."""
    old = run.fleet.instances["log-store"]
    others = {role: main_pids(run.fleet[role], role) for role in ROLES if role != "log-store"}
    # On another machine the daemon's user may have another number.
    run.fleet["log-store"].shell(f"systemctl stop cairn-log-store; chown -R {FOREIGN_UID}:{FOREIGN_UID} {STATE}")
    # As the attachment's `stop_instance_before_detaching` has it done.
    run.fleet["log-store"].stop()
    outcome = run.cloud.terraform.apply(replace=[LOG_STORE_RESOURCE])
    run.fleet.forget("log-store")
    run.fleet.refresh()
    new = run.fleet.instances["log-store"]
    same = (new.private_ip, new.volume_id) == (old.private_ip, old.volume_id)
    run.report.need(
        same and new.instance_id != old.instance_id,
        f"apply ({outcome.seconds:.0f} s): another instance, same address, same volume {new.volume_id}",
        f"before: {old}\nafter: {new}"[:2000],
        outcome.log,
    )
    run.fleet.boot(["log-store"])
    result = run.fleet.first_boots(["log-store"], FIRST_BOOT_SECONDS)["log-store"]
    run.report.need(result.status == "done", f"log-store: cloud-init {result.status}", "\n".join(result.errors))
    check_units(run, "log-store")
    check_volume(run, "log-store")
    foreign = run.fleet["log-store"].run("find", STATE, "!", "-user", "cairn-log-store").stdout
    run.report.check(not foreign, "log-store: the old data belongs to the new machine's user", foreign)
    lines_still_there(run, "log-store: the marked log lines are there on the new machine")
    after = {role: main_pids(run.fleet[role], role) for role in others}
    run.report.check(after == others, "the other machines were left alone", f"before: {others}\nafter: {after}")
    no_changes(run, "the plan after it changes nothing")


def lines_still_there(run: Run, text: str) -> None:
    """Assert that every marked line is found, once."""
    start, seen = time.monotonic(), []

    def all_there() -> bool:
        seen.append(len(marker_lines(run)))
        return seen[-1] == REQUESTS

    found = wait_until(all_there, READY_SECONDS, 0.3)
    run.report.check(found, f"{text}, after {time.monotonic() - start:.1f} s", f"lines found, try by try: {seen}")
    if found and len(seen) > 1:
        run.report.say(f"lines found, try by try: {seen}")
