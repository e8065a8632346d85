"""What a run needs of the computer, named before anything is begun."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dryrun import host
from dryrun.image import Image

# Command and the Debian package that brings it. What a stripped-down Debian has in any case is left out.
TOOLS = {
    "apt-ftparchive": "apt-utils",
    "curl": "curl",
    "dnsmasq": "dnsmasq-base",
    "gpg": "gnupg",
    "ip": "iproute2",
    "lintian": "lintian",
    "losetup": "mount",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "sysctl": "procps",
    "systemctl": "systemd",
    "systemd-nspawn": "systemd-container",
}
PYTHON_VENV = "python3-venv"


def missing(tree: Path) -> str:
    """Why the whole run cannot be done here, in one line; empty if it can."""
    return machines_missing() or terraform_missing(tree)


def machines_missing() -> str:
    """Why no machine can be booted here; empty if one can."""
    if os.geteuid() != 0:
        return "not root; run it with sudo"
    absent = [command for command in TOOLS if shutil.which(command) is None]
    # mmdebstrap is of no use any more once the image is there.
    if "mmdebstrap" in absent and Image.of_host().cached():
        absent.remove("mmdebstrap")
    if absent:
        packages = " ".join(sorted({TOOLS[command] for command in absent}))
        return f"no {', '.join(absent)}; install: apt-get install {packages}"
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        host.run(["modprobe", "overlay"], check=False)
        if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii"):
            return "this kernel has no overlay file system"
    if not Path("/dev/loop-control").exists():
        return "this kernel has no loop devices"
    if host.run(["unshare", "--net", "nft", "list", "ruleset"], check=False).returncode != 0:
        return "network namespaces with nftables cannot be made here (a container without the right to?)"
    return ""


def terraform_missing(tree: Path) -> str:
    """Why Terraform cannot be used here, in the words of the scripts that share the question."""
    scripts = tree / "scripts"
    script = """
        . "$1/lib.sh"; . "$1/lib-terraform.sh"
        terraform_missing || { said=$(terraform_cli_config "$2") || printf '%s' "$said"; }"""
    scratch = host.cache_folder()
    scratch.mkdir(parents=True, exist_ok=True)
    return host.run(["bash", "-c", script, "bash", scripts, scratch], check=False).stdout.strip()
