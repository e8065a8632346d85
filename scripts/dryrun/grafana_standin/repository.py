"""The stand-in's apt repository: signed by a key that lives as long as the making of it, `gpg.key` at its root."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import package

ARCHITECTURES = ("amd64", "arm64")
OWNER = "Cairn dry run, stand-in for Grafana <root@localhost>"


@dataclass(frozen=True)
class Repository:
    """A folder to be served under the name of Grafana's repository."""

    root: Path
    #: 40 hexadecimal digits, for Terraform's `grafana_apt_fingerprint`.
    fingerprint: str


def build(root: Path, version: str) -> Repository:
    """Makes the package and, around it, a signed repository (`stable main`) in the folder `root`.

    Raises `ValueError` for a version that is none, `subprocess.CalledProcessError` where a tool fails.
    """
    package.build(root / "pool", version)
    dists = root / "dists/stable"
    for architecture in ARCHITECTURES:
        _index(root, dists / f"main/binary-{architecture}", architecture)
    release = _run(
        "apt-ftparchive",
        *(f"-oAPT::FTPArchive::Release::{key}={value}" for key, value in _release_fields()),
        "release",
        ".",
        cwd=dists,
    )
    (dists / "Release").write_bytes(release)
    fingerprint = _sign(root, dists)
    return Repository(root, fingerprint)


def _release_fields() -> tuple[tuple[str, str], ...]:
    return (
        ("Origin", "grafana stand-in"),
        ("Label", "grafana stand-in"),
        ("Suite", "stable"),
        ("Codename", "stable"),
        ("Components", "main"),
        ("Architectures", " ".join(ARCHITECTURES)),
        ("Acquire-By-Hash", "yes"),
    )


def _index(root: Path, folder: Path, architecture: str) -> None:
    """The list of packages, plain and compressed, each by its name and by its hash."""
    by_hash = folder / "by-hash/SHA256"
    by_hash.mkdir(parents=True, exist_ok=True)
    plain = _run("apt-ftparchive", "--arch", architecture, "packages", "pool", cwd=root)
    for name, content in (("Packages", plain), ("Packages.gz", gzip.compress(plain, mtime=0))):
        (folder / name).write_bytes(content)
        (by_hash / hashlib.sha256(content).hexdigest()).write_bytes(content)


def _sign(root: Path, dists: Path) -> str:
    """Signs with a new key, writes its public half as `gpg.key`, and forgets the private one."""
    # A short path: the agent's socket lies in it, and a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="cairn-gpg-") as home:
        environment = {**os.environ, "GNUPGHOME": home, "LC_ALL": "C"}
        gpg = ("gpg", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", "")
        try:
            _run(*gpg, "--quick-generate-key", OWNER, "ed25519", "sign", "1y", env=environment)
            listing = _run(*gpg, "--list-keys", "--with-colons", env=environment).decode()
            fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
            signed = ("--clearsign", "-o", str(dists / "InRelease"), str(dists / "Release"))
            _run(*gpg, "-u", fingerprint, *signed, env=environment)
            detached = ("--armor", "--detach-sign", "-o", str(dists / "Release.gpg"), str(dists / "Release"))
            _run(*gpg, "-u", fingerprint, *detached, env=environment)
            (root / "gpg.key").write_bytes(_run(*gpg, "--armor", "--export", fingerprint, env=environment))
        finally:
            # The agent would outlive us.
            _run("gpgconf", "--kill", "all", env=environment)
    return fingerprint


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> bytes:
    """A tool's output. What it complains about goes to our standard error."""
    return subprocess.run(command, check=True, cwd=cwd, env=env, stdout=subprocess.PIPE).stdout


def main(arguments: list[str]) -> int:
    """The command `python3 -m dryrun.grafana_standin.repository FOLDER VERSION`, run in `scripts/`."""
    if len(arguments) != 2:
        print("usage: python3 -m dryrun.grafana_standin.repository FOLDER VERSION", file=sys.stderr)
        return 64
    try:
        made = build(Path(arguments[0]).resolve(), arguments[1])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"repository  {made.root}\nfingerprint {made.fingerprint}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
