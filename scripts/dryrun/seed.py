"""Preparing a machine's root before its first boot: cloud-init's source, network, certificates.

The image has cloud-init switched off and no network. One of these functions turns a machine into an EC2 instance, or
into one that reads its user-data from a folder.
"""

from __future__ import annotations

from pathlib import Path

from dryrun import host
from dryrun.machine import Machine
from dryrun.network import INTERFACE, RESOLVER

DISABLED = "etc/cloud/cloud-init.disabled"
SOURCES = "/etc/cloud/cloud.cfg.d/95_cairn_dryrun.cfg"
AUTHORITY_NAME = "cairn-dry-run"

# `strict_id: false`: a container has no DMI from which cloud-init could see that it runs on EC2.
EC2_SOURCES = "datasource_list: [ Ec2 ]\ndatasource: { Ec2: { strict_id: false, timeout: 5, max_wait: 60 } }\n"

NETWORK = f"""\
[Match]
Name={INTERFACE}

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
# resolv.conf names the VPC's resolver already; systemd-resolved does not run here.
UseDNS=no
# The instance's name comes from user-data.
UseHostname=no
"""


def for_ec2(machine: Machine, authority: Path) -> None:
    """An EC2 instance: address by DHCP, user-data from the metadata service, AWS's names trusted by `authority`."""
    (machine.root / DISABLED).unlink(missing_ok=True)
    machine.write(SOURCES, EC2_SOURCES)
    machine.write(f"/etc/systemd/network/{INTERFACE}.network", NETWORK)
    machine.write("/etc/resolv.conf", f"nameserver {RESOLVER}\n")
    host.run(
        ["systemctl", f"--root={machine.root}", "enable", "systemd-networkd", "systemd-networkd-wait-online"],
    )
    trust(machine, authority)


def for_nocloud(machine: Machine, user_data: str) -> None:
    """A machine without a cloud: user-data from the folder that Vagrant's provisioner fills too."""
    (machine.root / DISABLED).unlink(missing_ok=True)
    machine.write(SOURCES, "datasource_list: [ NoCloud ]\n")
    machine.write("/var/lib/cloud/seed/nocloud/user-data", user_data, 0o600)
    machine.write("/var/lib/cloud/seed/nocloud/meta-data", f"instance-id: i-{machine.name}\n")


def trust(machine: Machine, authority: Path) -> None:
    """Do what update-ca-certificates would do with the run's certificate, without a second of it per machine."""
    certificate = authority.read_text(encoding="ascii")
    machine.write(f"/usr/local/share/ca-certificates/{AUTHORITY_NAME}.crt", certificate)
    bundle = machine.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.write_text(bundle.read_text(encoding="ascii") + certificate, encoding="ascii")
    subject_hash = host.run(["openssl", "x509", "-noout", "-hash", "-in", authority]).stdout.strip()
    link = machine.root / "etc/ssl/certs" / f"{subject_hash}.0"
    link.unlink(missing_ok=True)
    link.symlink_to(f"/usr/local/share/ca-certificates/{AUTHORITY_NAME}.crt")
