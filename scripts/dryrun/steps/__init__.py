"""The steps of a run, by subject; `run.py` does them in order."""

from __future__ import annotations

from dryrun.run import Step
from dryrun.steps import bad_input, boot, chain, groups, identity, infrastructure, releases, restarts

STEPS = (
    Step(1, "packages, repository", 180, releases.prepare, setup=True),
    Step(2, "machine image", 200, boot.image, setup=True),
    Step(3, "namespaces, local AWS", 20, infrastructure.start, setup=True),
    Step(4, "terraform apply", 130, infrastructure.apply, setup=True),
    Step(5, "addresses, security groups, IAM", 5, infrastructure.enforce, setup=True),
    Step(6, "first boot of four machines", 60, boot.first_boot, setup=True),
    Step(7, "chain", 20, chain.check, setup=True),
    Step(8, "matrix of ports", 40, groups.check),
    Step(9, "IAM, metadata service, secrets", 10, identity.check),
    Step(10, "second plan", 15, infrastructure.second_plan),
    Step(11, "reboot, power cut", 30, restarts.restart),
    Step(12, "bad input", 150, bad_input.check),
    Step(13, "upgrade, refused downgrade", 60, releases.upgrade),
    Step(14, "replaced log store", 110, restarts.replace),
    Step(15, "terraform destroy", 110, infrastructure.destroy),
)
