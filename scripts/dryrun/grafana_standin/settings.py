"""What the stand-in takes from its environment, by the names that Grafana's package and Grafana itself use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioning import expand


class StartError(Exception):
    """Grafana would not start; the message says why and where."""


@dataclass(frozen=True)
class Settings:
    """Resolved settings."""

    version: str
    address: str
    port: int
    data: Path
    provisioning: Path
    #: The first password of the user admin. It only counts while there is no database.
    admin_password: str

    @classmethod
    def from_environment(cls, version: str, environment: Mapping[str, str]) -> Settings:
        """Settings as the unit's environment gives them.

        Raises `StartError` as Grafana refuses: a `$__file{}` that cannot be read, a port that is none.
        """

        def value(name: str, default: str) -> str:
            text = environment.get(name, default)
            try:
                return expand.expand(text, environment)
            except (OSError, ValueError) as error:
                raise StartError(f"{name}={text}: {error}") from error

        port = value("GF_SERVER_HTTP_PORT", "3000")
        if not port.isdecimal() or int(port) > 65535:
            raise StartError(f"GF_SERVER_HTTP_PORT={port}: not a port")
        return cls(
            version=version,
            address=value("GF_SERVER_HTTP_ADDR", "0.0.0.0"),
            port=int(port),
            data=Path(value("GF_PATHS_DATA", environment.get("DATA_DIR", "/var/lib/grafana"))),
            provisioning=Path(
                value(
                    "GF_PATHS_PROVISIONING",
                    environment.get("PROVISIONING_CFG_DIR", "/etc/grafana/provisioning"),
                )
            ),
            admin_password=value("GF_SECURITY_ADMIN_PASSWORD", "admin"),
        )


def of_process(version: str) -> Settings:
    """Settings of this process."""
    return Settings.from_environment(version, os.environ)
