"""Security groups, as the EC2 API describes them, turned into nftables rules for the cloud's namespace.

    rules = ruleset(api_instances, api_rules)        # text for `nft -f`, whole and atomic
    apply(network, rules)
    hits = counters(network)                         # {"sgr-0123…": packets}, for rules that were never needed

Per machine there is one chain for what goes out and one for what comes in, each with the rules of its groups and a drop
at the end; a packet between two machines passes both. Answers to what was let through pass. As on AWS, a rule that
names a group stands for the private addresses of that group's members, and DHCP, the resolver and the metadata service
are outside of all groups.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dryrun import host
from dryrun.network import AWS, GATEWAY_LINK, METADATA, RESOLVER, SUBNETS, VPC, Network

TABLE = "vpc"
ANYWHERE = "0.0.0.0/0"


class UnknownRule(Exception):
    """The API describes something that this translation does not know; better to stop than to let it through or not."""


@dataclass(frozen=True)
class Interface:
    """A machine's network interface."""

    private: str
    public: str | None
    groups: tuple[str, ...]


def interfaces(api_instances: Iterable[Mapping[str, Any]]) -> list[Interface]:
    """The interfaces of those instances (entries of `DescribeInstances`) that are not gone."""
    found = []
    for instance in api_instances:
        if instance["State"]["Name"] not in ("pending", "running"):
            continue
        for interface in instance["NetworkInterfaces"]:
            public = interface.get("Association", {}).get("PublicIp") or instance.get("PublicIpAddress")
            groups = tuple(group["GroupId"] for group in interface["Groups"])
            found.append(Interface(interface["PrivateIpAddress"], public, groups))
    return sorted(found, key=lambda interface: interface.private)


def ruleset(api_instances: Iterable[Mapping[str, Any]], api_rules: Iterable[Mapping[str, Any]]) -> str:
    """The whole ruleset, from `DescribeInstances` and `DescribeSecurityGroupRules`."""
    machines = interfaces(api_instances)
    rules = sorted(api_rules, key=lambda rule: rule["SecurityGroupRuleId"])
    members: dict[str, list[str]] = {}
    for machine in machines:
        for group in machine.groups:
            members.setdefault(group, []).append(machine.private)
    lines = ["flush ruleset", f"table inet {TABLE} {{"]
    for machine in machines:
        for egress in (False, True):
            lines.append(f"  chain {chain(machine.private, egress)} {{")
            lines += [f"    {line}" for line in group_lines(machine, rules, members, egress)]
            lines += ["    counter drop", "  }"]
    lines += hooks(machines)
    lines.append("}")
    return "\n".join(lines) + "\n"


def chain(address: str, egress: bool) -> str:
    """Name of a machine's chain."""
    return f"{'from' if egress else 'to'}_{address.replace('.', '_')}"


def group_lines(
    machine: Interface, rules: Iterable[Mapping[str, Any]], members: Mapping[str, list[str]], egress: bool
) -> list[str]:
    """The rules of one machine in one direction."""
    # Leaving is the first half of the way: `return` goes on to the receiver's chain.
    verdict = "return" if egress else "accept"
    lines = []
    for rule in rules:
        if rule["GroupId"] in machine.groups and rule["IsEgress"] == egress:
            peer = peer_match(rule, members)
            if peer is not None:
                parts = (peer, port_match(rule), f'counter {verdict} comment "{rule["SecurityGroupRuleId"]}"')
                lines.append(" ".join(part for part in parts if part))
    return lines


def peer_match(rule: Mapping[str, Any], members: Mapping[str, list[str]]) -> str | None:
    """The part of a rule that names the other side; None if no machine is in the group that it names."""
    direction = "daddr" if rule["IsEgress"] else "saddr"
    cidr = rule.get("CidrIpv4")
    group = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    if cidr == ANYWHERE:
        # Every IPv4 address, and this network has no others.
        return ""
    if cidr:
        return f"ip {direction} {cidr}"
    if group:
        addresses = members.get(group)
        return f"ip {direction} {{ {', '.join(addresses)} }}" if addresses else None
    if rule.get("CidrIpv6"):
        return f"ip6 {direction} {rule['CidrIpv6']}"
    raise UnknownRule(
        f"{rule['SecurityGroupRuleId']} of {rule['GroupId']} names neither a CIDR nor a group: {dict(rule)}"
    )


def port_match(rule: Mapping[str, Any]) -> str:
    """The part of a rule that names protocol and ports."""
    protocol = str(rule["IpProtocol"])
    if protocol == "-1":
        return ""
    if protocol in ("tcp", "udp"):
        first, last = rule["FromPort"], rule["ToPort"]
        return f"{protocol} dport {first}" if first == last else f"{protocol} dport {first}-{last}"
    if protocol == "icmp" and rule.get("FromPort", -1) == -1:
        return "ip protocol icmp"
    raise UnknownRule(f"{rule['SecurityGroupRuleId']} of {rule['GroupId']}: protocol {protocol} is not translated")


def hooks(machines: list[Interface]) -> list[str]:
    """The chains that the kernel calls, which send each packet to the chains of the machines that it concerns."""
    leaving, entering = verdict_map(machines, True), verdict_map(machines, False)
    bridges = f"{{ {', '.join(SUBNETS)} }}"
    lines = [
        "  chain forward {",
        "    type filter hook forward priority 0; policy drop;",
        "    ct state established,related accept",
        "    ct state invalid drop",
        *leaving,
        *entering,
        f"    iifname {bridges} oifname {GATEWAY_LINK} accept",
        "  }",
        "  chain input {",
        "    type filter hook input priority 0; policy drop;",
        "    ct state established,related accept",
        "    iifname lo accept",
        f"    iifname {bridges} ip daddr {{ {METADATA}, {RESOLVER} }} accept",
        f"    iifname {bridges} udp dport 67 accept",
        *leaving,
        f"    iifname {bridges} ip daddr {AWS} tcp dport 443 accept",
        "  }",
        # Before addresses are translated: the Internet cannot send to a private address. Without this line a subnet
        # without public addresses could be reached from outside by whoever routes to it.
        "  chain gateway {",
        "    type filter hook prerouting priority -150;",
        f"    iifname {GATEWAY_LINK} ip daddr {VPC} counter drop",
        "  }",
    ]
    public = [(machine.public, machine.private) for machine in machines if machine.public]
    lines += ["  chain source {", "    type nat hook postrouting priority 100;"]
    if public:
        lines.append(
            f"    oifname {GATEWAY_LINK} snat ip to ip saddr map {{ {', '.join(f'{i} : {o}' for o, i in public)} }}"
        )
    # What has no public address of its own leaves through the NAT gateway.
    lines += [f"    oifname {GATEWAY_LINK} masquerade", "  }"]
    if public:
        table = ", ".join(f"{outer} : {inner}" for outer, inner in public)
        lines += ["  chain destination {", "    type nat hook prerouting priority -100;"]
        lines += [f"    iifname {GATEWAY_LINK} dnat ip to ip daddr map {{ {table} }}", "  }"]
    return lines


def verdict_map(machines: list[Interface], egress: bool) -> list[str]:
    """The line that jumps to the chain of the machine that sends, or receives."""
    if not machines:
        return []
    table = ", ".join(f"{machine.private} : jump {chain(machine.private, egress)}" for machine in machines)
    return [f"    ip {'saddr' if egress else 'daddr'} vmap {{ {table} }}"]


def apply(network: Network, rules: str) -> None:
    """Load a ruleset into the cloud's namespace, all of it or nothing."""
    host.run(network.command("nft", "-f", "-"), stdin=rules)


def block(network: Network, address: str) -> None:
    """Cut a machine off from AWS and Grafana's repository: its connections are reset. `unblock` undoes it."""
    rules = f"""
        table inet {block_table(address)} {{
          chain input {{
            type filter hook input priority -10;
            ip saddr {address} ip daddr {AWS} tcp dport 443 reject with tcp reset
          }}
        }}"""
    host.run(network.command("nft", "-f", "-"), stdin=rules)


def unblock(network: Network, address: str) -> None:
    """Undo `block`."""
    host.run(network.command("nft", "delete", "table", "inet", block_table(address)))


def block_table(address: str) -> str:
    """Name of the table that holds a block; apart from the groups' own."""
    return f"block_{address.replace('.', '_')}"


def counters(network: Network) -> dict[str, int]:
    """How many packets each security group rule let through since the ruleset was loaded, by the rule's id."""
    listing = json.loads(host.run(network.command("nft", "-j", "list", "ruleset")).stdout)
    hits: dict[str, int] = {}
    for entry in listing["nftables"]:
        rule = entry.get("rule", {})
        if "comment" in rule:
            packets = sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
            hits[rule["comment"]] = hits.get(rule["comment"], 0) + packets
    return hits
