"""Every rule of every security group, as the design wants them and as DescribeSecurityGroupRules has them.

The matrix of ports tries what machines need; a rule on a port that nobody tries would stay unseen there. So the whole
set is compared as well, ingress and egress, one rule more being as wrong as one less. What is wanted is written by hand
from the design's tables, never derived from Terraform.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dryrun.matrix import DESIGN, LISTENING, LOG_STORE, Cidrs
from dryrun.network import VPC

WORLD = "0.0.0.0/0"
# AWS's own group of a VPC, which nothing uses: it has to be empty.
UNUSED = "default"


@dataclass(frozen=True)
class Rule:
    """One rule of one group."""

    group: str
    """The role of the machines in it."""
    egress: bool
    protocol: str
    """`tcp`, `udp`, or `-1` for all."""
    ports: str
    """`3100`, `8080-8083`, or `all`."""
    peer: str
    """A role, or a network."""

    def __str__(self) -> str:
        direction, word = ("out of", "to") if self.egress else ("into", "from")
        return f"{direction} {self.group}, protocol {self.protocol}, port {self.ports}, {word} {self.peer}"


def wanted(cidrs: Cidrs) -> list[Rule]:
    """The design's rules: those of the matrix for what comes in, and what may go out."""
    networks = {"web": cidrs.web, "ssh": cidrs.ssh, "vpc": str(VPC)}
    rules = []
    for row in DESIGN:
        peer = networks.get(row.source, row.source)
        # Without a network for administration there is no rule for it.
        if peer is not None:
            rules += [Rule(row.into, False, "tcp", str(port), peer) for port in row.ports]
    rules += [Rule(role, True, "-1", "all", WORLD) for role in LISTENING]
    return [*rules, Rule("app", True, "tcp", str(LOG_STORE), str(VPC))]


def found(
    api_rules: Iterable[Mapping[str, Any]], groups: Iterable[Mapping[str, Any]], roles: Mapping[str, str]
) -> list[Rule]:
    """The API's rules of these groups (entries of `DescribeSecurityGroups`); `roles` are their members' by group id.

    A group without a machine goes by its own name, so that a rule of it shows as one that nobody asked for.
    """
    names = {group["GroupId"]: roles.get(group["GroupId"], group["GroupName"]) for group in groups}
    return [rule_of(rule, names) for rule in api_rules if rule["GroupId"] in names]


def rule_of(rule: Mapping[str, Any], names: Mapping[str, str]) -> Rule:
    """One of the API's rules."""
    group = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    other = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId")
    peer = names.get(group, group) if group else other or "nothing"
    protocol = str(rule["IpProtocol"])
    first, last = rule.get("FromPort"), rule.get("ToPort")
    ports = "all" if protocol == "-1" else str(first) if first == last else f"{first}-{last}"
    return Rule(names[rule["GroupId"]], bool(rule["IsEgress"]), protocol, ports, peer)


def strangers(groups: Iterable[Mapping[str, Any]], roles: Mapping[str, str]) -> list[str]:
    """Groups that no machine is in, but for AWS's own."""
    return [one["GroupName"] for one in groups if one["GroupId"] not in roles and one["GroupName"] != UNUSED]
