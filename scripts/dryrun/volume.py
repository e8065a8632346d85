"""A data volume: a sparse file behind a loop device, which outlives the machines that it is attached to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dryrun import host
from dryrun.workspace import Workspace, loops_below


@dataclass
class Volume:
    """One EBS volume. The file lies in the run's scratch folder, so that the run's end detaches and removes it."""

    work: Workspace
    volume_id: str
    """As the API names it: `vol-0123456789abcdef0`."""
    mebibytes: int = 1024

    @property
    def file(self) -> Path:
        """The file that holds the content."""
        return self.work.scratch / "volumes" / f"{self.volume_id}.img"

    @property
    def link_name(self) -> str:
        """The name below /dev/disk/by-id that udev gives the volume on a Nitro instance."""
        return f"nvme-Amazon_Elastic_Block_Store_{self.volume_id.replace('-', '')}"

    def attach(self) -> str:
        """Give the file a loop device (the one it has, if it has one) and return the device."""
        self.file.parent.mkdir(exist_ok=True)
        if not self.file.exists():
            with open(self.file, "wb") as file:
                file.truncate(self.mebibytes * 1024 * 1024)
        with self.work.undisturbed():
            devices = loops_below(self.file)
            return devices[0] if devices else host.run(["losetup", "--find", "--show", self.file]).stdout.strip()

    def grow(self, mebibytes: int) -> None:
        """Make it larger, also under a running machine, as EC2's ModifyVolume does."""
        self.mebibytes = mebibytes
        os.truncate(self.file, mebibytes * 1024 * 1024)
        for device in loops_below(self.file):
            host.run(["losetup", "--set-capacity", device])

    def detach(self) -> None:
        """Take the loop device away; the content stays in the file."""
        for device in loops_below(self.file):
            host.run(["losetup", "--detach", device])
