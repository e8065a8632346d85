"""The program behind `scripts/check-provisioning`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import files, tree


def main(arguments: list[str]) -> int:
    """0 when nothing is wrong, 1 with one line for each thing that is, 64 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="scripts/check-provisioning",
        description="Checks Grafana's provisioning files and dashboards against the formats of Grafana 9 to 13.",
    )
    parser.add_argument("root", type=Path, help="folder with provisioning/, dashboards/ and 50-cairn.conf")
    parser.add_argument(
        "--environment",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable that a file may use, beside those that 50-cairn.conf sets",
    )
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return 64 if stop.code else 0
    unit = options.root / "50-cairn.conf"
    if not (options.root / "provisioning").is_dir() or not unit.is_file():
        print(
            f"error: {options.root} holds no provisioning/ and 50-cairn.conf; name the folder that does",
            file=sys.stderr,
        )
        return 64
    environment = files.unit_environment(unit)
    environment.update(pair.partition("=")[::2] for pair in options.environment)
    found, counts = tree.check(options.root, environment)
    for finding in found:
        print(finding, file=sys.stderr)
    looked_at = ", ".join(f"{count} {what}" for what, count in counts.items())
    if found:
        print(f"error: {len(found)} things are wrong in {options.root} ({looked_at})", file=sys.stderr)
        return 1
    print(f"provisioning: nothing wrong ({looked_at})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
