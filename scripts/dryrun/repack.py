"""Packages with another version, made from built ones: what an upgrade and a downgrade are tried with.

The content stays as it is, so both versions run; only dpkg sees the difference.
"""

from __future__ import annotations

from pathlib import Path

from dryrun import host


def field(deb: Path, name: str) -> str:
    """One field of a package's control file."""
    return host.run(["dpkg-deb", "--field", deb, name]).stdout.strip()


def repack(deb: Path, version: str, folder: Path) -> Path:
    """Write `deb` with this version into `folder` and return its path."""
    name, arch = field(deb, "Package"), field(deb, "Architecture")
    tree = folder / f"{name}.tree"
    host.run(["dpkg-deb", "--raw-extract", deb, tree])
    control = tree / "DEBIAN" / "control"
    old = control.read_text(encoding="utf-8")
    new = old.replace(f"\nVersion: {field(deb, 'Version')}\n", f"\nVersion: {version}\n")
    assert new != old, f"{deb} has no line with its version"
    control.write_text(new, encoding="utf-8")
    target = folder / f"{name}_{version}_{arch}.deb"
    # Compressed as little as possible: it is read once.
    host.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, target])
    host.run(["rm", "-rf", tree])
    return target
