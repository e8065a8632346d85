"""The network of a run: a VPC, the Internet beyond it, one namespace per machine, addresses and names.

One namespace is the cloud. It routes between two bridges (the subnets) and the Internet gateway, and holds the
addresses that AWS itself has inside a VPC:

    br-public  10.0.1.1/24   br-private  10.0.2.1/24      the subnets' routers
    10.0.0.2                                              resolver
    169.254.169.254                                       instance metadata
    198.18.0.2                                            every AWS name, and Grafana's repository
    203.0.113.1/24                                        the gateway's outer side

A second one is the Internet: 203.0.113.10 (an administrator), 203.0.113.50 (a user), 198.51.100.7 (a stranger).

Machines hang on their bridge as isolated ports, and the router answers ARP for their neighbours (proxy_arp_pvlan): so
what two machines of one subnet say to each other passes the router too, where `firewall.py` enforces the security
groups. dnsmasq gives each machine the address that the API gave its MAC, and answers names.

The cloud's parts (moto, edge, Terraform) run in `Network.namespace`, with `Network.resolv_conf` as their resolver.
"""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dryrun import host
from dryrun.workspace import Workspace, wait_until

VPC = ipaddress.ip_network("10.0.0.0/16")
SUBNETS = {
    "br-public": ipaddress.ip_interface("10.0.1.1/24"),
    "br-private": ipaddress.ip_interface("10.0.2.1/24"),
}
RESOLVER = "10.0.0.2"
METADATA = "169.254.169.254"
AWS = "198.18.0.2"
GATEWAY_OUTER = ipaddress.ip_interface("203.0.113.1/24")
GATEWAY_LINK = "igw"

# Who there is on the Internet, by the name that the matrix shows.
ADMIN, USER, STRANGER = "203.0.113.10", "203.0.113.50", "198.51.100.7"

GRAFANA_NAME = "apt.grafana.com"
INTERFACE = "ens5"
"""Name of a machine's network interface, as on a Nitro instance."""


@dataclass(frozen=True)
class Lease:
    """What DHCP gives a machine."""

    mac: str
    address: str
    name: str


class Network:
    """The namespaces of one run; everything is named after the run and goes with it."""

    def __init__(self, work: Workspace) -> None:
        self.work = work
        self.namespace = f"{work.prefix}cloud"
        self.internet = f"{work.prefix}internet"
        self.resolv_conf = work.scratch / "resolv.conf"
        self._leases = work.scratch / "leases"
        self._hosts = work.scratch / "dhcp-hosts"
        self._dnsmasq: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Make the namespaces, bridges, addresses and routes, and start dnsmasq."""
        self.resolv_conf.write_text(f"nameserver {RESOLVER}\n", encoding="ascii")
        for name in (self.namespace, self.internet):
            host.run(["ip", "netns", "add", name])
            self._ip(name, "link", "set", "lo", "up")
        for address in (METADATA, AWS, RESOLVER):
            self._ip(self.namespace, "address", "add", f"{address}/32", "dev", "lo")
        for bridge, router in SUBNETS.items():
            # Without an address of its own a bridge takes its lowest port's, which changes as machines come and go: the
            # others would then speak to a router that is no more, for up to twenty seconds.
            mac = "06:00:" + ":".join(f"{byte:02x}" for byte in router.ip.packed)
            self._ip(self.namespace, "link", "add", bridge, "address", mac, "type", "bridge")
            self._ip(self.namespace, "address", "add", str(router), "dev", bridge)
            self._ip(self.namespace, "link", "set", bridge, "up")
        self._connect_internet()
        self._set_router_up()
        self._start_dnsmasq()

    def add_machine(self, name: str, mac: str, address: str) -> str:
        """Make a machine's namespace with its interface on the subnet of its address; returns the namespace's name."""
        bridge = next((b for b, router in SUBNETS.items() if ipaddress.ip_address(address) in router.network), None)
        if bridge is None:
            raise ValueError(f"{name}'s address {address} lies in no subnet of this network")
        namespace = self.machine_namespace(name)
        link = self._machine_link(address)
        host.run(["ip", "netns", "add", namespace])
        self._ip(namespace, "link", "set", "lo", "up")
        inner = ("peer", "name", INTERFACE, "netns", namespace, "address", mac)
        self._ip(self.namespace, "link", "add", link, "type", "veth", *inner)
        self._ip(self.namespace, "link", "set", link, "master", bridge, "up")
        self._ip(self.namespace, "link", "set", link, "type", "bridge_slave", "isolated", "on")
        return namespace

    def remove_machine(self, name: str, address: str) -> None:
        """Take a machine's interface and namespace away: the link first, since a namespace that holds one dies late."""
        self._ip(self.namespace, "link", "delete", self._machine_link(address), check=False)
        host.run(["ip", "netns", "delete", self.machine_namespace(name)], check=False)

    def machine_namespace(self, name: str) -> str:
        """Name of a machine's namespace."""
        return f"{self.work.prefix}{name}"

    def set_leases(self, leases: Sequence[Lease]) -> None:
        """From now on DHCP gives these addresses and no others."""
        lines = [f"{lease.mac},{lease.address},{lease.name},1h\n" for lease in leases]
        self._hosts.write_text("".join(lines), encoding="ascii")
        assert self._dnsmasq is not None
        # An address that a replaced machine held must be free for its successor's MAC at once, and dnsmasq rereads the
        # reservations on SIGHUP but keeps its leases: so it starts anew.
        self.work.end("dnsmasq", self._dnsmasq)
        self._start_dnsmasq()

    def command(self, *argv: str | Path, namespace: str | None = None) -> list[str]:
        """The command that runs `argv` in the cloud's namespace, or in another one."""
        return ["nsenter", f"--net=/run/netns/{namespace or self.namespace}", *(str(word) for word in argv)]

    def _connect_internet(self) -> None:
        inside, outside = self.namespace, self.internet
        self._ip(inside, "link", "add", GATEWAY_LINK, "type", "veth", "peer", "name", "wan", "netns", outside)
        self._ip(inside, "address", "add", str(GATEWAY_OUTER), "dev", GATEWAY_LINK)
        self._ip(inside, "link", "set", GATEWAY_LINK, "up")
        for address in (ADMIN, USER):
            self._ip(outside, "address", "add", f"{address}/{GATEWAY_OUTER.network.prefixlen}", "dev", "wan")
        self._ip(outside, "address", "add", f"{STRANGER}/32", "dev", "lo")
        self._ip(outside, "link", "set", "wan", "up")
        self._ip(outside, "route", "add", "default", "via", str(GATEWAY_OUTER.ip))
        self._ip(inside, "route", "add", f"{STRANGER}/32", "via", ADMIN)

    def _set_router_up(self) -> None:
        settings = ["net.ipv4.ip_forward=1"]
        for bridge in ("all", *SUBNETS):
            settings += [f"net.ipv4.conf.{bridge}.send_redirects=0"]
        settings += [f"net.ipv4.conf.{bridge}.proxy_arp_pvlan=1" for bridge in SUBNETS]
        host.run(self.command("sysctl", "-qw", *settings))
        # Where the host's kernel hands bridged frames to the packet filter, they would pass the rules twice.
        host.run(self.command("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"), check=False)

    def _start_dnsmasq(self) -> None:
        if not self._hosts.exists():
            self._hosts.write_text("", encoding="ascii")
        self._leases.unlink(missing_ok=True)
        options = [
            "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
            "--user=root", f"--listen-address={RESOLVER}", "--log-queries", "--log-dhcp", "--log-facility=-",
            "--pid-file",
            # Names that nobody has are answered with "no such name" at once, not after a time-out.
            "--address=/#/", f"--address=/amazonaws.com/{AWS}", f"--address=/{GRAFANA_NAME}/{AWS}",
            f"--dhcp-hostsfile={self._hosts}", f"--dhcp-leasefile={self._leases}", "--dhcp-authoritative",
            f"--dhcp-option=option:dns-server,{RESOLVER}",
        ]  # fmt: skip
        for bridge, router in SUBNETS.items():
            options += [
                f"--interface={bridge}",
                f"--dhcp-range={router.network.network_address},static,{router.netmask},1h",
            ]
        command = self.command("dnsmasq", *options)
        self._dnsmasq = self.work.spawn("dnsmasq", command, append=True)
        if not wait_until(self._resolver_answers, 5.0):
            raise host.CommandFailed(command, self._dnsmasq.poll(), (self.work.logs / "dnsmasq.log").read_text())

    def _resolver_answers(self) -> bool:
        """Whether someone holds the resolver's port (a TCP connection, which dnsmasq takes as well as UDP)."""
        probe = f"import socket; socket.create_connection(('{RESOLVER}', 53), 1)"
        return host.run(self.command(sys.executable, "-c", probe), check=False).returncode == 0

    def _machine_link(self, address: str) -> str:
        third, fourth = address.split(".")[2:]
        return self.work.link(f"v{third}x{fourth}")

    @staticmethod
    def _ip(namespace: str, *arguments: str, check: bool = True) -> None:
        host.run(["ip", "-n", namespace, *arguments], check=check)
