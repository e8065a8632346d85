"""Steps 3, 4, 5, 10 and 15: the network and the local AWS, and what Terraform makes of them."""

from __future__ import annotations

import json
from typing import Any

from dryrun.cloud import Cloud
from dryrun.fleet import ROLES, Fleet
from dryrun.matrix import Cidrs
from dryrun.network import ADMIN, Network
from dryrun.run import Run

CIDRS = Cidrs(web="203.0.113.0/24", ssh=f"{ADMIN}/32")
# `terraform destroy` of the user's own kind would leave snapshots; the daily ones need an API that moto has not.
FIXED_VARIABLES: dict[str, Any] = {
    "environment": "dryrun",
    "allowed_web_cidr": CIDRS.web,
    "allowed_ssh_cidr": CIDRS.ssh,
    "final_snapshot": False,
    "backups": False,
}


def variables(run: Run) -> dict[str, Any]:
    """What a user would write into terraform.tfvars."""
    return FIXED_VARIABLES | {
        "placement": run.placement,
        "package_dir": str(run.packages.folder),
        "grafana_version": run.grafana.version,
        "grafana_apt_fingerprint": run.grafana.fingerprint,
    }


def start(run: Run) -> None:
    """Step 3."""
    run.network = Network(run.work)
    run.network.start()
    run.cloud = Cloud(
        run.work,
        run.network,
        run.tree,
        progress=run.report.say,
        grafana_repository=run.grafana.folder,
    )
    run.cloud.start()
    run.fleet = Fleet(run.work, run.network, run.cloud, run.image, run.report.say)
    account = run.cloud.aws("sts", "get_caller_identity")["Account"]
    run.report.check(bool(account), f"the local AWS answers under AWS's names (account {account})")


def apply(run: Run) -> None:
    """Step 4."""
    terraform = run.cloud.terraform
    terraform.init(variables(run))
    outcome = terraform.apply()
    run.report.check(True, f"terraform apply: done in {outcome.seconds:.0f} s")
    warnings = "\n".join(outcome.warnings)
    run.report.check(not warnings, "terraform apply: no warning", warnings, outcome.log)
    roles = sorted(instance.role.replace("_", "-") for instance in run.cloud.instances())
    run.report.need(roles == sorted(ROLES), f"instances: {', '.join(roles)}", log=outcome.log)
    outputs = terraform.outputs()
    run.report.check("next_steps" in outputs and "urls" in outputs, "outputs name the URLs and what to type next")


def enforce(run: Run) -> None:
    """Step 5."""
    run.cloud.enforce_iam(True)
    run.fleet.refresh()
    for instance in run.fleet.instances.values():
        size = len(instance.user_data.encode())
        fits = instance.user_data.startswith("#cloud-config\n") and size <= 16384
        run.report.check(fits, f"{instance.role}: {instance.private_ip}, user-data of {size} bytes (16384 at most)")
        run.report.check("password" not in instance.user_data.lower(), f"{instance.role}: no password in its user-data")


def second_plan(run: Run) -> None:
    """Step 10."""
    no_changes(run, "a second plan changes nothing")


def no_changes(run: Run, text: str) -> None:
    """Assert that Terraform has nothing to do."""
    outcome = run.cloud.terraform.changes()
    found = [line.strip() for line in outcome.output.splitlines() if line.strip().startswith("# ")]
    run.report.check(outcome.status == 0, text, "\n".join(found), outcome.log)


def destroy(run: Run) -> None:
    """Step 15."""
    # Orderly, as EC2 does before it takes a machine away.
    for machine in run.fleet.machines.values():
        if machine.running:
            machine.stop()
    outcome = run.cloud.terraform.destroy()
    run.report.check(True, f"terraform destroy: done in {outcome.seconds:.0f} s")
    left = run.cloud.leftovers()
    remains = {kind: ids for kind, ids in left.items() if ids}
    run.report.check(
        not remains, f"nothing left of {len(left)} kinds of resources", json.dumps(remains, indent=1), outcome.log
    )
