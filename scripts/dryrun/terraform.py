"""The real Terraform against the local AWS: in the cloud's namespace, under AWS's own names, with nothing overridden.

The tree's `terraform/` is copied into the run's folder first, so that state, provider and lock file never land in it.
`init` runs outside the namespace: it is the one step that may need the network, for the provider.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dryrun import host, inside
from dryrun.aws_client import Credentials
from dryrun.workspace import Workspace

# Generous: an apply takes a minute and a half, most of it the provider's own waits.
APPLY_SECONDS = 420.0
INIT_SECONDS = 300.0
PLAN_SECONDS = 120.0
# A line of progress at most this often.
PROGRESS_SECONDS = 15.0
# How much of an error is shown.
ERROR_LINES = 40

# State, provider, lock file and the variables of whoever uses this checkout for an installation of their own.
_NOT_COPIED = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate", "*.tfstate.*", "*.tfvars*")
_DONE = re.compile(r"(Creation|Modifications|Destruction) complete after")
_PLANNED = re.compile(r"Plan: (\d+) to add, (\d+) to change, (\d+) to destroy")


class TerraformError(Exception):
    """Terraform failed, or did not end in time. The text holds its error messages and the log's path."""


@dataclass(frozen=True)
class Outcome:
    """How a Terraform command ended."""

    status: int
    seconds: float
    output: str
    log: Path

    @property
    def warnings(self) -> list[str]:
        """First lines of the warnings that Terraform printed."""
        return re.findall(r"^\W*Warning: (.+)$", self.output, re.MULTILINE)


class Terraform:
    """One root module and its state, in `work.scratch/terraform`."""

    def __init__(
        self,
        work: Workspace,
        tree: Path,
        namespace: str,
        resolv_conf: Path,
        authority: Path,
        region: str,
        credentials: Credentials,
        progress: Callable[[str], None],
    ) -> None:
        self.folder = work.scratch / "terraform"
        self._work, self._tree, self._progress = work, tree, progress
        self._namespace, self._resolv_conf = namespace, resolv_conf
        self._count = 0
        self._environment = inside.clean_environment(
            AWS_ACCESS_KEY_ID=credentials.key_id,
            AWS_SECRET_ACCESS_KEY=credentials.secret,
            AWS_REGION=region,
            AWS_CA_BUNDLE=str(authority),
            SSL_CERT_FILE=str(authority),
            AWS_EC2_METADATA_DISABLED="true",
            AWS_CONFIG_FILE=str(work.scratch / "no-aws-config"),
            AWS_SHARED_CREDENTIALS_FILE=str(work.scratch / "no-aws-credentials"),
            # The provider's 25 tries turn a plain error into minutes of silence.
            AWS_MAX_ATTEMPTS="3",
            CHECKPOINT_DISABLE="1",
            TF_IN_AUTOMATION="1",
            TF_INPUT="0",
        )

    def init(self, variables: Mapping[str, Any]) -> Outcome:
        """Copies the tree's Terraform, writes the variables beside it and fetches the provider."""
        shutil.copytree(self._tree / "terraform", self.folder, ignore=_NOT_COPIED, symlinks=True)
        self.set_variables(variables)
        self._environment["TF_CLI_CONFIG_FILE"] = str(self._cli_configuration())
        # On the host's side of the network, with what the host needs to reach the registry: proxy, certificates.
        ours = {name: value for name, value in self._environment.items() if name.startswith(("TF_", "CHECKPOINT_"))}
        hosts = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
        return self._run("init", [], INIT_SECONDS, environment={**hosts, **ours})

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """Replaces the variables that every later command sees."""
        text = json.dumps(dict(variables), indent=2, default=str)
        (self.folder / "dryrun.auto.tfvars.json").write_text(text, encoding="utf-8")

    def apply(self, replace: Sequence[str] = ()) -> Outcome:
        """Applies; `replace` are addresses of resources to make anew. Raises TerraformError."""
        options = [f"-replace={address}" for address in replace]
        return self._run("apply", ["-auto-approve", *options], APPLY_SECONDS)

    def changes(self) -> Outcome:
        """Plans. `status` of the outcome is 0 if nothing would change, 2 if something would."""
        return self._run("plan", ["-detailed-exitcode", "-lock=false"], PLAN_SECONDS, good=(0, 2))

    def destroy(self) -> Outcome:
        """Takes everything away. Raises TerraformError."""
        return self._run("apply", ["-destroy", "-auto-approve"], APPLY_SECONDS, name="destroy")

    def outputs(self) -> dict[str, Any]:
        """The root module's outputs by name."""
        shown = host.run(
            ["terraform", f"-chdir={self.folder}", "output", "-json"], env=self._environment, timeout=PLAN_SECONDS
        )
        return {name: output["value"] for name, output in json.loads(shown.stdout).items()}

    def state_text(self) -> str:
        """The state file as it lies there, to search it for what must not be in it."""
        return (self.folder / "terraform.tfstate").read_text(encoding="utf-8")

    def _run(
        self,
        verb: str,
        options: Sequence[str],
        seconds: float,
        *,
        name: str | None = None,
        good: tuple[int, ...] = (0,),
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        name = name or verb
        self._count += 1
        log = self._work.logs / f"terraform-{self._count:02}-{name}.log"
        command = ["terraform", f"-chdir={self.folder}", verb, "-no-color", *options]
        if environment is None:
            command = inside.with_resolver(self._namespace, self._resolv_conf, *command)
        started = time.monotonic()
        process = self._work.spawn("terraform", command, env=environment or self._environment, log=log)
        self._watch(name, process, log, seconds)
        self._work.forget("terraform")
        output = log.read_text(encoding="utf-8", errors="replace")
        took = time.monotonic() - started
        if process.returncode not in good:
            raise TerraformError(
                f"terraform {name} ended with status {process.returncode}; log: {log}\n{errors(output)}"
            )
        return Outcome(process.returncode, took, output, log)

    def _watch(self, name: str, process: subprocess.Popen[str], log: Path, seconds: float) -> None:
        """Waits for Terraform's end and says from time to time how far it is."""
        started = told = time.monotonic()
        while True:
            try:
                process.wait(timeout=0.2)
                return
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            if now - started > seconds:
                # SIGTERM lets Terraform write its state; what it waits for is not waited for.
                self._work.end("terraform", process)
                said = errors(log.read_text(encoding="utf-8", errors="replace"))
                raise TerraformError(f"terraform {name} did not end in {seconds:.0f} s; log: {log}\n{said}")
            if now - told >= PROGRESS_SECONDS:
                told = now
                so_far = progress_of(log.read_text(encoding="utf-8", errors="replace"))
                self._progress(f"  terraform {name}: {now - started:.0f} s{so_far}")

    def _cli_configuration(self) -> Path:
        """Where the provider comes from, by the rule that all scripts share (scripts/lib-terraform.sh)."""
        scripts = self._tree / "scripts"
        found = host.run(
            ["bash", "-c", '. "$1/lib.sh"; . "$1/lib-terraform.sh"; terraform_cli_config "$2"', "bash"]
            + [str(scripts), str(self._work.scratch)],
            check=False,
        )
        line, _, path = found.stdout.strip().rpartition("\n")
        if found.returncode != 0:
            raise TerraformError(found.stdout.strip() or found.stderr.strip())
        self._progress(line)
        return Path(path)


def errors(output: str) -> str:
    """Terraform's error messages out of its output; the last lines if it printed none in the usual form."""
    lines = [line.removeprefix("│ ").rstrip() for line in output.splitlines()]
    found: list[str] = []
    inside_error = False
    for line in lines:
        if line.startswith("Error: "):
            inside_error = True
        elif line in ("╵", "╷") or line.startswith("Warning: "):
            inside_error = False
        if inside_error and line not in ("│", ""):
            found.append(line)
    if not found:
        found = [line for line in lines if line][-15:]
    return "\n".join(found[:ERROR_LINES])


def progress_of(output: str) -> str:
    """How many of the planned resources are done, as `, 12 of 79 done`; empty before the plan is there."""
    planned = _PLANNED.search(output)
    if planned is None:
        return ""
    return f", {len(_DONE.findall(output))} of {sum(map(int, planned.groups()))} done"
