"""The apt repository: what a second build changes, what stays for machines that are reading, what a machine refuses."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from dryrun import host, repack
from dryrun.machine import Machine
from dryrun.report import Report

SCRIPT = Path("scripts/build-apt-repo")
INRELEASE = "dists/stable/InRelease"
PACKAGES = "dists/stable/main/binary-amd64/Packages"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def by_hash_problems(files: dict[str, bytes]) -> list[str]:
    """What is wrong with by-hash/, by the files of a repository; empty where every index is there under its SHA-256.

    Without by-hash a machine whose update meets an upload gets a new index for an old signature, and refuses both.
    """
    problems = []
    release = files[INRELEASE].decode().splitlines()
    if "Acquire-By-Hash: yes" not in release:
        problems.append(f"{INRELEASE} has no line 'Acquire-By-Hash: yes'")
    for architecture in ("amd64", "arm64"):
        folder = f"dists/stable/main/binary-{architecture}"
        for name in ("Packages", "Packages.gz"):
            content = files.get(f"{folder}/{name}", b"")
            total = hashlib.sha256(content).hexdigest()
            if files.get(f"{folder}/by-hash/SHA256/{total}") != content:
                problems.append(f"{folder}/{name} is not by-hash/SHA256/{total}")
            if not any(line.split() == [total, str(len(content)), f"main/binary-{architecture}/{name}"] for line in release):
                problems.append(f"{INRELEASE} has no line of {folder}/{name} with {total}")
    for path, content in files.items():
        if "/by-hash/" in path and not path.endswith(f"/SHA256/{hashlib.sha256(content).hexdigest()}"):
            problems.append(f"{path} is not named by its SHA-256")
    return problems


def check_builds(report: Report, debs: dict[str, Path], scratch: Path) -> None:
    """Builds in a row, into `apt` in the scratch folder, which is whole at the end."""
    source, target = scratch / "debs", scratch / "apt"
    source.mkdir()
    deb = debs["cairn-app"]
    version = repack.field(deb, "Version")
    shutil.copy2(deb, source)

    def build() -> dict[str, bytes]:
        host.run([SCRIPT, "--from", source, "--to", target])
        return contents(target)

    first = build()
    report.check(build() == first, "repository: a second build changes no file")
    report.check(not by_hash_problems(first), "repository: each index is there by its hash", "\n".join(by_hash_problems(first)))
    second_deb = repack.repack(deb, f"{version}.1", source)
    second = build()
    report.check(second[INRELEASE] != first[INRELEASE], "repository: a new package is signed anew")
    gone = [name for name in first if "/by-hash/" in name and name not in second]
    report.check(not gone, "repository: the indexes before it are still there by hash", "\n".join(gone))
    repack.repack(deb, f"{version}.2", source)
    third = build()
    report.check(not by_hash_problems(third), "repository: each later one too", "\n".join(by_hash_problems(third)))
    pool = sorted(name for name in third if name.startswith("pool/"))
    wanted = sorted(f"pool/{path.name}" for path in source.glob("*.deb") if path.name != deb.name)
    report.check(pool == wanted and second_deb.exists(), "repository: the last two versions stay in the pool", "\n".join(pool))
    listed = third[PACKAGES].decode()
    report.check(f"Version: {version}\n" not in listed, "repository: what left the pool left the index", listed)
    (target / INRELEASE).write_bytes(b"cut off")
    build()
    report.check((target / INRELEASE).read_bytes().startswith(b"-----BEGIN PGP SIGNED"), "repository: a spoilt signature is made anew")


def check_refusals(report: Report, machine: Machine, repository: Path) -> None:
    """What a machine does with a repository that was tampered with. `repository` is /srv/tampered in the machine."""
    source = "/etc/apt/sources.list.d/tampered.list"
    machine.write(source, "deb [signed-by=/srv/tampered/cairn.asc] file:/srv/tampered stable main\n")
    only = [
        "-o", f"Dir::Etc::sourcelist={source}", "-o", "Dir::Etc::sourceparts=-", "-o", "Dir::State::Lists=/var/lib/apt/tampered",
        "-o", "APT::Update::Error-Mode=any",
    ]  # fmt: skip
    machine.run("mkdir", "-p", "/var/lib/apt/tampered/partial")
    machine.run("apt-get", "update", *only)

    deb = max((repository / "pool").glob("cairn-app_*.deb"))
    good = deb.read_bytes()
    deb.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    said = machine.run("apt-get", "--yes", "--no-install-recommends", *only, "install", "cairn-app", check=False)
    text = said.stdout + said.stderr
    status = machine.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", "cairn-app", check=False).stdout
    report.check(
        said.returncode != 0 and "Hash Sum mismatch" in text and status != "installed",
        "repository: a package with one changed byte is not installed",
        text,
    )
    deb.write_bytes(good)

    inrelease = repository / INRELEASE
    inrelease.write_bytes(inrelease.read_bytes().replace(b"Suite: stable", b"Suite: stablE"))
    said = machine.run("apt-get", "update", *only, check=False)
    text = said.stdout + said.stderr
    report.check(said.returncode != 0 and "BADSIG" in text, "repository: an index with one changed byte is not taken", text)
    machine.run("rm", "-rf", source, "/var/lib/apt/tampered")
