"""A control group of its own for each machine, on hosts whose first process is not systemd.

There nspawn puts what it boots into `payload` below its own group. Two machines booted from the same group then share
that subtree: systemd in one of them sees, waits for and kills the other's services of the same name. Where systemd runs
the host, nspawn asks it for a scope instead and nothing of this is needed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def host_runs_systemd() -> bool:
    """What sd_booted(3) looks at."""
    return Path("/run/systemd/system").is_dir()


def own_groups() -> list[Path]:
    """This process's group in the hierarchies that systemd uses: the unified one and, on hybrid hosts, a named one."""
    mounts: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            mounts.setdefault("", Path(before.split()[4]))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            mounts.setdefault("name=systemd", Path(before.split()[4]))
    groups = []
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in mounts:
            groups.append(mounts[controllers] / path.lstrip("/"))
    return groups


def enter_command(name: str, argv: list[str]) -> list[str]:
    """`argv`, preceded by what puts it into fresh groups called `name`."""
    files = []
    for parent in own_groups():
        group = parent / name
        group.mkdir(exist_ok=True)
        files.append(str(group / "cgroup.procs"))
    script = f'for file in "${{@:1:{len(files)}}}"; do echo $$ > "$file" || exit; done; shift {len(files)}; exec "$@"'
    return ["bash", "-c", script, "enter-group", *files, *argv]


def remove(prefix: str) -> None:
    """Remove the groups whose name starts with `prefix`; those that still hold a process stay."""
    for group in named(prefix):
        # Deepest first: a group goes when it has no children and no processes.
        for inner in sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            remove_one(inner)
        remove_one(group)


def named(prefix: str) -> list[Path]:
    """The groups whose name starts with `prefix`."""
    return [group for parent in own_groups() for group in parent.iterdir() if group.name.startswith(prefix)]


def remove_one(group: Path) -> None:
    """Remove one group, if it can go."""
    with contextlib.suppress(OSError):
        group.rmdir()
