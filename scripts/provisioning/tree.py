"""A whole tree of provisioning files: `provisioning/{datasources,dashboards,alerting}` and `dashboards/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import alerting, dashboards, datasources, files
from .findings import Finding, Findings
from .shapes import Shape, get, items

#: Grafana does not replace variables in these keys of alerting files.
NOT_EXPANDED = frozenset({"model", "annotations"})


def check(root: Path, environment: Mapping[str, str]) -> tuple[list[Finding], dict[str, int]]:
    """Everything that is wrong below `root`, and how much there was to look at."""
    findings = Findings()
    source_files = _read(findings, root, "datasources", datasources.FILE, environment)
    sources = datasources.together(findings, source_files)
    boards = _dashboards(findings, root, _read(findings, root, "dashboards", dashboards.FILE, environment), sources)
    alert_files = _read(findings, root, "alerting", alerting.FILE, environment, NOT_EXPANDED)
    panels = {
        (get(board, "uid"), panel.get("id")) for board in boards.values() for _, panel in dashboards.all_panels(board)
    }
    alerting.together(findings, alert_files, sources, panels)
    counts = {
        "data sources": len(sources),
        "dashboards": len(boards),
        "panels": sum(1 for board in boards.values() for _ in dashboards.all_panels(board)),
        "alert rules": sum(
            len(items(get(group, "rules")))
            for document in alert_files.values()
            for group in items(get(document, "groups"))
        ),
    }
    return findings.all, counts


def _read(
    findings: Findings,
    root: Path,
    kind: str,
    shape: Shape,
    environment: Mapping[str, str],
    not_expanded: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The documents of one folder by their names, expanded and each checked by itself."""
    folder = root / "provisioning" / kind
    documents: dict[str, Any] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = str(path.relative_to(root))
        with findings.in_file(name):
            if path.suffix == ".json" and kind == "alerting":
                document = files.read_json(findings, path)
            elif path.suffix in (".yaml", ".yml"):
                document = files.read_yaml(findings, path)
            else:
                # An error for alerting files, and read by nobody elsewhere.
                findings.add("only .yaml and .yml are read here (alerting: also .json)")
                continue
            if document is not None:
                document = files.expanded(findings, document, environment, not_expanded)
                shape(findings, document)
                documents[name] = document
    return documents


def _dashboards(findings: Findings, root: Path, providers: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """The dashboards that the providers' folders hold, by file name."""
    boards: dict[str, Any] = {}
    names: dict[str, str] = {}
    titles: dict[tuple[str, object], str] = {}
    uids: dict[object, str] = {}
    for file, document in providers.items():
        for index, provider in enumerate(items(get(document, "providers"))):
            with findings.in_file(file), findings.at(f"providers[{index}]"):
                name = str(get(provider, "name"))
                if name in names:
                    with findings.at("name"):
                        findings.add(f"the name {name!r} is taken already, by {names[name]}")
                names.setdefault(name, f"{file} providers[{index}]")
                installed = str(get(provider, "options", "path"))
                folder = dashboards.tree_folder(installed, root)
                found = sorted(folder.rglob("*.json")) if folder else []
                if not found:
                    with findings.at("options.path"):
                        findings.add(f"{installed} holds no dashboard of ours (they lie in {dashboards.INSTALLED})")
            for path in found:
                board_name = str(path.relative_to(root))
                with findings.in_file(board_name):
                    board = files.read_json(findings, path)
                    if board is None:
                        continue
                    dashboards.check_dashboard(findings, board, sources)
                    boards[board_name] = board
                    place = (str(get(provider, "folder")), get(board, "title"))
                    for what, value, seen in (("uid", get(board, "uid"), uids), ("title", place, titles)):
                        if value in seen:
                            with findings.at(what):
                                findings.add(f"is taken already, by {seen[value]}")
                        seen.setdefault(value, board_name)
    served = set(boards)
    for path in sorted((root / "dashboards").rglob("*")) if (root / "dashboards").is_dir() else ():
        name = str(path.relative_to(root))
        if path.is_file() and name not in served and not any(f.file == name for f in findings.all):
            with findings.in_file(name):
                findings.add("no provider's folder holds it, or it is no .json: Grafana does not show it")
    return boards
