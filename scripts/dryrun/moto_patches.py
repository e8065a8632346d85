"""moto's server with the behaviours that Cairn's deployment needs and moto 5.2.1 lacks. Runs in the venv.

    python -m dryrun.moto_patches --consoles FOLDER -H 127.0.0.1 -p 5555

Each patch is a function in the module of its service, with the reason above its body. It names what it replaces, and
fails when that name is gone: a newer moto stops here with a clear message instead of bringing the old trouble back.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from dryrun.moto_patching import MotoChanged

# Debian's account, whose images Terraform asks for, and the newest image per architecture. moto reads the list when it
# is imported, from the file that this variable names.
DEBIAN_OWNER = "136693071363"
DEBIAN_IMAGES = {"x86_64": ("ami-0deb1200000000001", "amd64"), "arm64": ("ami-0deb1200000000002", "arm64")}
_IMAGES_VARIABLE = "MOTO_AMIS_PATH"


def debian_images() -> list[dict[str, Any]]:
    """Debian's images in the form of moto's own list."""
    return [
        {
            "ami_id": ami_id,
            "name": f"debian-12-{debian}-20250814-2204",
            "description": f"Debian 12 ({debian})",
            "owner_id": DEBIAN_OWNER,
            "public": True,
            "architecture": architecture,
            "virtualization_type": "hvm",
            "hypervisor": "xen",
            "state": "available",
            "platform": None,
            "image_type": "machine",
            "image_location": f"amazon/debian-12-{debian}",
            "root_device_name": "/dev/xvda",
            "root_device_type": "ebs",
            "sriov": "simple",
            "creation_date": "2025-08-14T00:00:00.000Z",
        }
        for architecture, (ami_id, debian) in DEBIAN_IMAGES.items()
    ]


def announce_debian_images() -> None:
    """Makes moto know Debian's images and no others. To be called before anything of moto is imported."""
    if "moto.ec2.models.amis" in sys.modules:
        raise MotoChanged("moto has been imported before its list of images was set")
    with tempfile.NamedTemporaryFile("w", prefix="cairn-images-", suffix=".json", delete=False) as file:
        json.dump(debian_images(), file)
    os.environ[_IMAGES_VARIABLE] = file.name
    try:
        import moto.ec2.models.amis as amis
    finally:
        os.unlink(file.name)
    if [image["ami_id"] for image in amis.AMIS] != [image["ami_id"] for image in debian_images()]:
        raise MotoChanged(f"moto took no notice of {_IMAGES_VARIABLE}")


def apply(consoles: Path) -> None:
    """Applies every patch; raises MotoChanged when one has lost its place."""
    # They import moto, which must not happen before the list of images is set.
    from dryrun import moto_patches_ec2, moto_patches_iam, moto_patches_s3

    moto_patches_ec2.apply(consoles)
    moto_patches_s3.apply()
    moto_patches_iam.apply()


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] != "--consoles":
        sys.exit("usage: python -m dryrun.moto_patches --consoles FOLDER [moto_server's arguments]")
    try:
        announce_debian_images()
        apply(Path(sys.argv[2]))
    except MotoChanged as problem:
        sys.exit(f"error: {problem}")
    import moto.server

    moto.server.main(sys.argv[3:])


if __name__ == "__main__":
    main()
