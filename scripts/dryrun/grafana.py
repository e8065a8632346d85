"""Where the run's Grafana comes from: its own apt repository where that can be reached, else a stand-in.

The stock package is fetched once into the cache, with the signed index that vouches for it, and the edge serves that
copy under the repository's own name. The machines check the key's fingerprint as they do on AWS.
"""

from __future__ import annotations

import gzip
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dryrun import host
from dryrun.grafana_standin import repository as stand_in
from dryrun.workspace import Workspace

CONNECT_SECONDS = 5.0
CHUNK = 1 << 20
PROGRESS_BYTES = 20 << 20


@dataclass(frozen=True)
class Grafana:
    """The repository that machines get Grafana from."""

    folder: Path
    """Signed apt tree with `gpg.key` at its root."""
    version: str
    fingerprint: str
    is_stand_in: bool


def obtain(work: Workspace, tree: Path, say: Callable[[str], None]) -> Grafana:
    """The stock package of the version that Terraform names by default, or the stand-in under that version."""
    defaults = {name: default_of(tree, f"grafana_{name}") for name in ("version", "apt_url", "apt_fingerprint")}
    version = defaults["version"]
    copy = host.cache_folder() / f"grafana-{version}"
    if (copy / "complete").exists() or fetch(defaults["apt_url"], version, copy, say):
        # The run's own: it also serves things there that must not outlive it.
        own = shutil.copytree(copy, work.scratch / "grafana")
        return Grafana(own, version, defaults["apt_fingerprint"], is_stand_in=False)
    made = stand_in.build(work.scratch / "grafana", version)
    return Grafana(made.root, version, made.fingerprint, is_stand_in=True)


def default_of(tree: Path, variable: str) -> str:
    """Default of one of Terraform's variables."""
    text = (tree / "terraform/variables.tf").read_text(encoding="utf-8")
    found = re.search(rf'variable "{variable}" {{.*?^  default\s*= "([^"]*)"', text, re.S | re.M)
    if found is None:
        raise ValueError(f"terraform/variables.tf has no default for {variable}")
    return found[1]


def fetch(url: str, version: str, copy: Path, say: Callable[[str], None]) -> bool:
    """Copy what one version needs of Grafana's repository; False where it cannot be reached."""
    architecture = host.run(["dpkg", "--print-architecture"]).stdout.strip()
    index = f"dists/stable/main/binary-{architecture}/Packages.gz"
    try:
        for name in ("dists/stable/InRelease", "gpg.key", index):
            download(url, name, copy, say)
        packages = gzip.decompress((copy / index).read_bytes()).decode()
        path = package_path(packages, version)
        if path is None:
            say(f"{url} has no grafana {version}")
            return False
        download(url, path, copy, say)
    except (OSError, urllib.error.URLError, EOFError):
        return False
    (copy / "complete").touch()
    return True


def package_path(packages: str, version: str) -> str | None:
    """Path of the package in the repository, from its index."""
    for stanza in packages.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if (fields.get("Package"), fields.get("Version")) == ("grafana", version):
            return fields["Filename"].removeprefix("./")
    return None


def download(url: str, name: str, folder: Path, say: Callable[[str], None]) -> None:
    """Fetch one file of the repository, whole or not at all."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    with urllib.request.urlopen(f"{url}/{name}", timeout=CONNECT_SECONDS) as answer, open(partial, "wb") as file:
        done = told = 0
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if done - told >= PROGRESS_BYTES:
                told = done
                say(f"Grafana: {done >> 20} MiB of {name} fetched")
    partial.rename(target)
