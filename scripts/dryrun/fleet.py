"""The run's machines: one booted Debian per instance of the API, with that instance's address, MAC and volume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dryrun import firewall, seed
from dryrun.cloud import Cloud, Instance
from dryrun.machine import Machine
from dryrun.matrix import Node
from dryrun.network import Lease, Network
from dryrun.volume import Volume
from dryrun.workspace import Workspace

# What a machine of each role has to run; the first is its main daemon.
UNITS = {
    "log-store": ("cairn-log-store", "cairn-log-shipper"),
    "app": ("cairn-app", "cairn-log-shipper"),
    "metrics-store": ("cairn-metrics-store", "cairn-log-shipper"),
    "grafana": ("grafana-server", "cairn-log-shipper"),
}
ROLES = tuple(UNITS)
RESULT = "/run/cloud-init/result.json"
PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class FirstBoot:
    """How cloud-init ended."""

    status: str
    """`done`, `error`, or `running` if it did not end in time."""
    source: str
    """Name of the data source that it found, such as `DataSourceEc2Local`."""
    errors: tuple[str, ...]


class Fleet:
    """Machines by role (`log-store`, `app`, `metrics-store`, `grafana`)."""

    def __init__(
        self, work: Workspace, network: Network, cloud: Cloud, image: Path, say: Callable[[str], None]
    ) -> None:
        self._work, self._network, self._cloud, self._image, self._say = work, network, cloud, image, say
        self.instances: dict[str, Instance] = {}
        self.machines: dict[str, Machine] = {}
        self._volumes: dict[str, Volume] = {}
        self._addresses: dict[str, str] = {}

    def __getitem__(self, role: str) -> Machine:
        return self.machines[role]

    def refresh(self) -> None:
        """Read from the API what there is; addresses, leases and firewall follow."""
        self.instances = {instance.role.replace("_", "-"): instance for instance in self._cloud.instances()}
        leases = [Lease(one.mac, one.private_ip, role) for role, one in self.instances.items()]
        self._network.set_leases(leases)
        self.enforce_groups()

    def enforce_groups(self) -> None:
        """Load the security groups as the API describes them now."""
        reservations = self._cloud.aws("ec2", "describe_instances")["Reservations"]
        instances = [instance for reservation in reservations for instance in reservation["Instances"]]
        rules = self._cloud.aws("ec2", "describe_security_group_rules")["SecurityGroupRules"]
        text = firewall.ruleset(instances, rules)
        (self._work.logs / "firewall.nft").write_text(text, encoding="utf-8")
        firewall.apply(self._network, text)

    def nodes(self) -> list[Node]:
        """The machines as the matrix wants them."""
        return [Node(role, self.instances[role].private_ip, self.instances[role].public_ip) for role in ROLES]

    def boot(self, roles: Iterable[str] = ROLES, *, volume_later: bool = True) -> None:
        """Make and boot machines for these instances, all side by side; returns as soon as their systemd answers."""
        for role in roles:
            self._create(role).start(volume_later=volume_later, wait=False)
        if volume_later:
            # As on EC2, where the attachment comes after the instance runs: what waits for the volume has to wait.
            time.sleep(2)
            for role in roles:
                self.machines[role].show_volume()

    def forget(self, role: str) -> None:
        """Take a machine away with its root disk; its data volume stays."""
        self.machines.pop(role).remove()
        self._network.remove_machine(role, self._addresses.pop(role))

    def first_boots(self, roles: Iterable[str], seconds: float) -> dict[str, FirstBoot]:
        """Wait until cloud-init ended on all these machines, and tell how."""
        waiting, found = list(roles), {}
        start = told = time.monotonic()
        while waiting and time.monotonic() - start < seconds:
            for role in tuple(waiting):
                ended = self._result(role)
                if ended is not None:
                    found[role] = ended
                    waiting.remove(role)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                self._say(f"cloud-init still at work on {', '.join(waiting)}")
            time.sleep(0.2)
        return found | {role: FirstBoot("running", "", ()) for role in waiting}

    def _create(self, role: str) -> Machine:
        instance = self.instances[role]
        namespace = self._network.add_machine(role, instance.mac, instance.private_ip)
        self._addresses[role] = instance.private_ip
        machine = Machine(self._work, role, self._image, namespace=namespace, volume=self._volume(instance))
        seed.for_ec2(machine, self._cloud.authority)
        console = self._cloud.console(instance.instance_id)
        console.unlink(missing_ok=True)
        console.symlink_to(machine.console)
        self.machines[role] = machine
        return machine

    def _volume(self, instance: Instance) -> Volume | None:
        if instance.volume_id is None:
            return None
        return self._volumes.setdefault(instance.volume_id, Volume(self._work, instance.volume_id))

    def _result(self, role: str) -> FirstBoot | None:
        machine = self.machines[role]
        try:
            result = json.loads(machine.read(RESULT))["v1"]
        except (FileNotFoundError, ValueError):
            return None
        # "DataSourceEc2Local [...]" or the like.
        source = (result.get("datasource") or "").split()[0:1]
        errors = tuple(result.get("errors", ()))
        return FirstBoot("error" if errors else "done", source[0] if source else "", errors)
