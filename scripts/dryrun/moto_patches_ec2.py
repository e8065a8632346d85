"""Patches of moto's EC2: instances, their addresses and consoles, rules of security groups."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from dryrun.moto_patching import replace, require

# As much of a console as EC2 gives out.
CONSOLE_BYTES = 64 * 1024


def apply(consoles: Path) -> None:
    """Applies all of them; `consoles` is the folder of the machines' console logs."""
    images_of_a_second_region()
    detailed_monitoring()
    groups_of_an_instance()
    address_of_a_terminated_instance()
    no_public_address()
    interface_of_a_nat_gateway()
    description_of_group_rules()
    console_output(consoles)


def images_of_a_second_region() -> None:
    """Loading the list of images parses the times in it in place, so that the next region's start fails on them."""
    from moto.ec2.models import amis

    def unless_parsed(original: Any) -> Any:
        return lambda value: value if isinstance(value, datetime.datetime) else original(value)

    replace(amis, "parse_timestamp", unless_parsed)


def detailed_monitoring() -> None:
    """`monitoring = true` makes the provider call MonitorInstances, to which moto answers 500 until the apply gives up.

    Nothing reads the state that AWS answers with: an empty set will do.
    """
    from moto.core.responses import ActionResult
    from moto.ec2.responses.monitoring import Monitoring

    def accepted(_original: Any) -> Any:
        return lambda _self: ActionResult({"InstanceMonitorings": []})

    replace(Monitoring, "monitor_instances", accepted)
    replace(Monitoring, "unmonitor_instances", accepted)


def groups_of_an_instance() -> None:
    """An instance whose interface carries the security groups is described without any.

    The provider gives the groups to the interface whenever it asks for a public address, and then sees
    `vpc_security_group_ids` drift on every plan.
    """
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.instances import Instance

    require(NetworkInterface, "group_set")

    def with_groups(original: Any) -> Any:
        def init(self: Any, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            if not self.security_groups:
                self.security_groups = [group for nic in self.nics.values() for group in nic.group_set]

        return init

    replace(Instance, "__init__", with_groups)


def address_of_a_terminated_instance() -> None:
    """A terminated instance keeps its private address taken.

    Replacing an instance with a fixed address then fails with "IP already in use", which the provider retries for
    minutes.
    """
    from moto.ec2.models.instances import Instance
    from moto.ec2.models.subnets import Subnet

    require(Subnet, "del_subnet_ip")

    def giving_back(original: Any) -> Any:
        def terminate(self: Any) -> Any:
            previous = original(self)
            for nic in self.nics.values():
                for address in nic.private_ip_addresses:
                    nic.subnet.del_subnet_ip(address["PrivateIpAddress"])
            return previous

        return terminate

    replace(Instance, "terminate", giving_back)


def no_public_address() -> None:
    """An interface without public address is described with an empty association.

    The provider takes that for a public address, and wants to replace a private instance on every plan.
    """
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface

    replace(NetworkInterface, "association", lambda original: property(lambda self: original.fget(self) or None))


def interface_of_a_nat_gateway() -> None:
    """A deleted NAT gateway leaves its interface behind, and with it an address of the subnet."""
    from moto.ec2.models.elastic_network_interfaces import NetworkInterfaceBackend
    from moto.ec2.models.nat_gateways import NatGatewayBackend

    require(NetworkInterfaceBackend, "delete_network_interface")

    def with_interface(original: Any) -> Any:
        def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
            gateway = original(self, nat_gateway_id)
            self.delete_network_interface(gateway._eni.id)
            return gateway

        return delete_nat_gateway

    replace(NatGatewayBackend, "delete_nat_gateway", with_interface)


def description_of_group_rules() -> None:
    """The description of a rule whose source is another group is lost, so that every plan wants to write it again.

    It comes with the source group, where moto keeps but does not look for it.
    """
    from moto.ec2.models.security_groups import SecurityGroupRule

    def from_either(original: Any) -> Any:
        return property(lambda self: original.fget(self) or self.source_group.get("Description"))

    replace(SecurityGroupRule, "description", from_either)


def console_output(consoles: Path) -> None:
    """GetConsoleOutput answers with a sample text. Here it is the machine's own console, from `<instance id>.log`."""
    from moto.core.responses import ActionResult
    from moto.core.utils import utcnow
    from moto.ec2.models.instances import InstanceBackend
    from moto.ec2.responses.general import General
    from moto.ec2.utils import Base64EncodedString

    require(InstanceBackend, "get_instance")

    def real(_original: Any) -> Any:
        def get_console_output(self: Any) -> Any:
            instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
            text = console_tail(consoles / f"{instance.id}.log")
            return ActionResult(
                {
                    "InstanceId": instance.id,
                    "Timestamp": utcnow(),
                    "Output": Base64EncodedString.from_raw_string(text),
                }
            )

        return get_console_output

    replace(General, "get_console_output", real)


def console_tail(path: Path) -> str:
    """The last part of a console log, empty if the machine has not written one."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - CONSOLE_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
