"""The stand-in as a Debian package, named and shaped as Grafana's own where a deployment looks."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import zipapp
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1]

#: Modules that the program on the machine needs.
MODULES = ("__init__.py", "__main__.py", "settings.py", "stock.py", "proxy.py", "server.py")

CONTROL = """\
Package: grafana
Version: {version}
Architecture: all
Maintainer: Cairn's dry run <root@localhost>
Section: metrics
Priority: optional
Depends: adduser, python3, python3-yaml
Description: STAND-IN FOR TESTS, NOT GRAFANA
 Made by Cairn's dry run to take Grafana's place on a machine of a test. It
 listens on Grafana's port, reads Grafana's provisioning files and answers a
 small part of Grafana's API. There is nothing to look at. Do not install it
 on a machine that anybody uses; get Grafana from https://grafana.com/.
"""

#: The parts of the real unit that a drop-in can collide with: type, user, environment file, sandbox.
UNIT = """\
[Unit]
Description=Grafana instance (STAND-IN FOR TESTS)
Wants=network-online.target
After=network-online.target

[Service]
EnvironmentFile=/etc/default/grafana-server
User=grafana
Group=grafana
Type=notify
Restart=on-failure
WorkingDirectory=/usr/share/grafana
RuntimeDirectory=grafana
RuntimeDirectoryMode=0750
ExecStart=/usr/share/grafana/bin/grafana
LimitNOFILE=10000
TimeoutStopSec=20
CapabilityBoundingSet=
LockPersonality=true
NoNewPrivileges=true
PrivateDevices=true
PrivateTmp=true
ProtectControlGroups=true
ProtectHome=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
ProtectSystem=full
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
UMask=0027

[Install]
WantedBy=multi-user.target
"""

DEFAULTS = """\
GRAFANA_USER=grafana
GRAFANA_GROUP=grafana
DATA_DIR=/var/lib/grafana
LOG_DIR=/var/log/grafana
PROVISIONING_CFG_DIR=/etc/grafana/provisioning
"""

#: As the real one: a user, its directories; neither enabled nor started.
POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
	getent passwd grafana >/dev/null || adduser --quiet --system --group --home /usr/share/grafana \\
		--no-create-home --shell /bin/false grafana
	install -d -o grafana -g grafana -m 0755 /var/log/grafana /var/lib/grafana
	chown -R grafana:grafana /var/log/grafana /var/lib/grafana
	[ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
"""

PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl stop grafana-server.service
fi
"""


def build(folder: Path, version: str) -> Path:
    """Makes `grafana_<version>_all.deb` in `folder` and answers with its path.

    Raises `ValueError` for a version that is none of Grafana's, `subprocess.CalledProcessError` where dpkg-deb fails.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version!r} is not a version of Grafana: three numbers with dots are wanted, as in 13.2.2")
    folder.mkdir(parents=True, exist_ok=True)
    deb = folder / f"grafana_{version}_all.deb"
    with tempfile.TemporaryDirectory(prefix="cairn-grafana-standin-") as scratch:
        tree = Path(scratch) / "tree"
        _write(tree / "DEBIAN/control", CONTROL.format(version=version))
        _write(tree / "DEBIAN/conffiles", "/etc/default/grafana-server\n")
        _write(tree / "DEBIAN/postinst", POSTINST, 0o755)
        _write(tree / "DEBIAN/prerm", PRERM, 0o755)
        _write(tree / "etc/default/grafana-server", DEFAULTS)
        _write(tree / "usr/lib/systemd/system/grafana-server.service", UNIT)
        for empty in ("datasources", "dashboards", "alerting", "plugins"):
            _directory(tree / "etc/grafana/provisioning" / empty)
        program = tree / "usr/share/grafana/bin/grafana"
        _directory(program.parent)
        pack(program, version)
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(deb)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return deb


def pack(program: Path, version: str) -> None:
    """The program as one executable file: Python finds its modules inside it."""
    with tempfile.TemporaryDirectory(prefix="cairn-grafana-standin-") as scratch:
        source = Path(scratch)
        for name in MODULES:
            _copy(HERE / name, source / "grafana_standin" / name)
        for name in ("__init__.py", "expand.py"):
            _copy(SCRIPTS / "provisioning" / name, source / "provisioning" / name)
        _write(source / "grafana_standin/VERSION", f"{version}\n")
        _write(
            source / "__main__.py",
            "import sys\n\nfrom grafana_standin.__main__ import main\n\nsys.exit(main())\n",
        )
        zipapp.create_archive(source, program, interpreter="/usr/bin/python3")
    program.chmod(0o755)


def _directory(path: Path) -> None:
    """Makes a directory and those above it, open to everybody whatever the umask is."""
    for part in [*reversed(path.parents), path]:
        if not part.exists():
            part.mkdir()
            part.chmod(0o755)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    _directory(path.parent)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
