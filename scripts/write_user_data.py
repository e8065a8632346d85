#!/usr/bin/env python3
"""Writes what Terraform rendered into files.

Reads `terraform output -json` of a root module with the outputs `user_data` and `files` (terraform/examples/vagrant,
terraform/tests/render) on standard input and writes, for each machine, into FOLDER:

    <machine>/user-data    the text, as cloud-init gets it
    <machine>/meta-data    what cloud-init's data source NoCloud wants beside it
    <machine>/files/...    each file that the text brings, under its path on the machine
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path


def write_machine(folder: Path, machine: str, text: str, files: dict[str, str]) -> None:
    """Writes one machine's user-data, meta-data and files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "user-data").write_text(text, encoding="utf-8")
    # Another text is another instance to cloud-init: it is run anew, as it is on EC2, where the machine is replaced.
    instance = f"{machine}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    (folder / "meta-data").write_text(f"instance-id: {instance}\nlocal-hostname: {machine}\n", encoding="utf-8")
    for path, content in files.items():
        target = folder / "files" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")


def main() -> int:
    """Reads standard input, writes below the folder named on the command line."""
    if len(sys.argv) != 2:
        print("usage: terraform output -json | write_user_data.py FOLDER", file=sys.stderr)
        return 64
    outputs = json.load(sys.stdin)
    if not {"user_data", "files"} <= outputs.keys():
        print("error: no outputs user_data and files; was terraform apply run before?", file=sys.stderr)
        return 1
    files = outputs["files"]["value"]
    for machine, text in outputs["user_data"]["value"].items():
        write_machine(Path(sys.argv[1]) / machine, machine, text, files[machine])
    return 0


if __name__ == "__main__":
    sys.exit(main())
