"""The packages of a run: an apt repository of its own, made from dist/ by the script that users call, with its own key.

The key is the run's, so that nothing depends on whether the user has one; and a later release can be added to the same
repository, as in a user's bucket.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dryrun import host, repack
from dryrun.workspace import Workspace

# What the packages are made of.
SOURCES = ("Cargo.toml", "Cargo.lock", "daemons", "packaging", "systemd", "scripts/build-debs")
PACKAGES = ("cairn-app", "cairn-log-shipper", "cairn-log-store", "cairn-metrics-store", "cairn-grafana")
# A first build of everything, twice; and the small work on the packages after it.
BUILD_SECONDS = 1800.0
PACK_SECONDS = 60.0
KEY_OWNER = "Cairn dry run <dry-run@example.invalid>"


class PackagesMissing(Exception):
    """There are no packages to install; the text says how to make them."""


@dataclass
class Repository:
    """Cairn's packages, signed, in `folder`."""

    work: Workspace
    tree: Path

    def __post_init__(self) -> None:
        self.folder = self.work.scratch / "apt"
        self._home = self.work.private / "gnupg"
        self._debs = self.work.scratch / "debs"
        self._fingerprint = ""

    def publish(self) -> None:
        """Make the repository from the packages in dist/."""
        debs = newest_debs(self.tree / "dist")
        self._debs.mkdir()
        for deb in debs.values():
            shutil.copy2(deb, self._debs)
        self._home.mkdir(mode=0o700, parents=True)
        self._fingerprint = make_key(self._home, KEY_OWNER)
        self._build()

    def publish_next(self) -> dict[str, str]:
        """Add a next release: the same programs under a higher version, with another configuration file.

        Returns the new versions by package.
        """
        old = newest_debs(self._debs)
        versions = {}
        for name, deb in old.items():
            versions[name] = f"{repack.field(deb, 'Version')}.1"
            repack.repack(deb, versions[name], self._debs, change_conffiles=True)
        self._build()
        return versions

    def versions(self) -> dict[str, str]:
        """Versions of the packages in dist/ that went into the repository, by package."""
        return {name: repack.field(deb, "Version") for name, deb in newest_debs(self.tree / "dist").items()}

    def _build(self) -> None:
        command: list[str | Path] = [self.tree / "scripts/build-apt-repo", "--from", self._debs, "--to", self.folder]
        environment = dict(os.environ, GNUPGHOME=str(self._home), CAIRN_APT_KEY=self._fingerprint)
        host.run(command, env=environment, timeout=PACK_SECONDS)
        end_agent(self._home)


def make_key(home: Path, owner: str) -> str:
    """Make a signing key without a passphrase in a GnuPG home; returns its fingerprint."""
    gpg: list[str | Path] = ["gpg", "--homedir", home, "--batch", "--quiet"]
    host.run([*gpg, "--passphrase", "", "--quick-generate-key", owner, "ed25519", "sign", "7d"])
    listing = host.run([*gpg, "--list-keys", "--with-colons"]).stdout
    end_agent(home)
    found = re.search(r"^fpr:+([0-9A-F]{40}):", listing, re.M)
    assert found is not None, listing
    return found[1]


def end_agent(home: Path) -> None:
    """gpg leaves an agent running for its home; the run's own ends with its use."""
    host.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


def newest_debs(folder: Path) -> dict[str, Path]:
    """The newest package of each name in a folder, for this machine's architecture."""
    architecture = host.run(["dpkg", "--print-architecture"]).stdout.strip()
    found: dict[str, Path] = {}
    for name in PACKAGES:
        debs = [deb for a in (architecture, "all") for deb in folder.glob(f"{name}_*_{a}.deb")]
        if not debs:
            raise PackagesMissing(f"{folder} holds no {name} package for {architecture}: run scripts/build-debs")
        found[name] = max(debs, key=lambda deb: deb.stat().st_mtime)
    return found


def changed_since(tree: Path, built: float) -> str:
    """The file of the packages' making that changed last, if that was after `built`; else an empty text."""
    # Under sudo the tree is another user's, which git would refuse to look at.
    listing = host.run(["git", "-c", "safe.directory=*", "-C", tree, "ls-files", "-z", *SOURCES], check=False).stdout
    times = {name: (tree / name).stat().st_mtime for name in listing.split("\0") if name and (tree / name).is_file()}
    newest = max(times, key=lambda name: times[name], default="")
    return newest if newest and times[newest] > built else ""


def ensure_debs(tree: Path, anew: bool, say: Callable[[str], None], log: Path) -> None:
    """Build the packages if dist/ has none, or older ones than what they are made of; with `anew` in any case, twice,
    and every byte has to be the same."""
    try:
        changed = changed_since(tree, min(deb.stat().st_mtime for deb in newest_debs(tree / "dist").values()))
        if not changed and not anew:
            return
        why = f"the packages in dist/ are older than {changed}" if changed else "packages are to be built anew"
    except PackagesMissing as missing:
        why = str(missing)
    if os.environ.get("SUDO_USER"):
        # Root has no toolchain there, and what it builds would be root's in the user's tree.
        raise PackagesMissing(f"{why}; build them as yourself first: scripts/build-debs{' --twice' if anew else ''}")
    say(why)
    command: list[str | Path] = [tree / "scripts/build-debs", *(["--twice"] if anew else [])]
    say(f"scripts/build-debs{' --twice' if anew else ''}: some minutes the first time; output in {log}")
    done = host.run(command, timeout=BUILD_SECONDS, check=False)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise PackagesMissing(f"scripts/build-debs failed; its output is in {log}")
