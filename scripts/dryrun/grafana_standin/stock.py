"""What the stand-in knows: the admin's password in its database, and what the provisioning files brought."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from provisioning import expand

from .settings import Settings, StartError


@dataclass
class Stock:
    """Everything that is served."""

    settings: Settings
    salt: str
    password_hash: str
    data_sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, settings: Settings, environment: Mapping[str, str]) -> Stock:
        """Opens or makes the database, then reads the provisioning files.

        Raises `StartError` where Grafana does not start.
        """
        stock = cls(settings, *_database(settings))
        for path, document in _documents(settings.provisioning / "datasources", environment):
            stock._add_data_sources(path, document)
        for path, document in _documents(settings.provisioning / "dashboards", environment):
            stock._add_dashboards(path, document)
        return stock

    def admits(self, user: str, password: str) -> bool:
        """Whether these are the admin's name and password."""
        return user == "admin" and hmac.compare_digest(_hash(self.salt, password), self.password_hash)

    def _add_data_sources(self, path: Path, document: dict[str, Any]) -> None:
        for source in document.get("datasources") or []:
            uid, name = source.get("uid"), source.get("name")
            if not uid or not name or not source.get("type"):
                raise StartError(f"{path}: a data source without name, type or uid: {source}")
            if uid in self.data_sources:
                raise StartError(f"{path}: data source with the uid {uid} twice")
            self.data_sources[uid] = source
        defaults = [uid for uid, source in self.data_sources.items() if source.get("isDefault")]
        if len(defaults) > 1:
            raise StartError(f"{path}: only one data source can be the default, not {', '.join(defaults)}")

    def _add_dashboards(self, path: Path, document: dict[str, Any]) -> None:
        for provider in document.get("providers") or []:
            folder = Path(provider["options"]["path"])
            for file in sorted(folder.glob("*.json")):
                try:
                    dashboard = json.loads(file.read_text(encoding="utf-8"))
                    self.dashboards[dashboard["uid"]] = {"folder": provider.get("folder", ""), **dashboard}
                except (OSError, ValueError, KeyError) as error:
                    # As Grafana: that one is skipped, the others are there.
                    print(f"dashboard {file} is skipped: {error!r}", flush=True)


def _hash(salt: str, password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10_000).hex()


def _database(settings: Settings) -> tuple[str, str]:
    """The password's salt and hash: of the database that is there, else of a new one with the given password."""
    path = settings.data / "grafana.db"
    try:
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            return kept["salt"], kept["hash"]
        salt = secrets.token_hex(16)
        made = {"salt": salt, "hash": _hash(salt, settings.admin_password)}
        new = path.with_suffix(".new")
        new.write_text(json.dumps(made), encoding="utf-8")
        os.replace(new, path)
        return made["salt"], made["hash"]
    except (OSError, ValueError, KeyError) as error:
        raise StartError(f"{path}: {error!r}") from error


def _documents(folder: Path, environment: Mapping[str, str]) -> list[tuple[Path, dict[str, Any]]]:
    """The YAML files of a folder in name order, expanded. A folder that is missing holds none."""
    out = []
    for path in sorted(folder.glob("*.y*ml")):
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            expanded: Any = expand.expand_tree(document, environment)
            out.append((path, expanded))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise StartError(f"{path}: {error}") from error
    return out
