"""Packages with another version, made from built ones: what an upgrade and a downgrade are tried with.

The programs stay as they are, so both versions run; only dpkg sees the difference, and whoever looks for the line that
a next release may add to its configuration files.
"""

from __future__ import annotations

from pathlib import Path

from dryrun import host

# What a next release adds to each of its configuration files in TOML.
NEW_LINE = "# A comment that came with the next release.\n"


def field(deb: Path, name: str) -> str:
    """One field of a package's control file."""
    return host.run(["dpkg-deb", "--field", deb, name]).stdout.strip()


def repack(deb: Path, version: str, folder: Path, *, change_conffiles: bool = False) -> Path:
    """Write `deb` with this version into `folder` and return its path."""
    name, arch = field(deb, "Package"), field(deb, "Architecture")
    tree = folder / f"{name}.tree"
    host.run(["dpkg-deb", "--raw-extract", deb, tree])
    control = tree / "DEBIAN" / "control"
    old = control.read_text(encoding="utf-8")
    new = old.replace(f"\nVersion: {field(deb, 'Version')}\n", f"\nVersion: {version}\n")
    assert new != old, f"{deb} has no line with its version"
    control.write_text(new, encoding="utf-8")
    if change_conffiles:
        for path in conffiles(tree):
            with open(path, "a", encoding="utf-8") as file:
                file.write(NEW_LINE)
    target = folder / f"{name}_{version}_{arch}.deb"
    # Compressed as little as possible: it is read once.
    host.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, target])
    host.run(["rm", "-rf", tree])
    return target


def conffiles(tree: Path) -> list[Path]:
    """The files in TOML, of an unpacked package, that dpkg asks about when a user has changed them."""
    listed = tree / "DEBIAN" / "conffiles"
    names = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    return [tree / name.lstrip("/") for name in names if name.endswith(".toml")]
