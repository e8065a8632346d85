"""Variables in the values of provisioning files, as Grafana replaces them.

`$NAME`, `${NAME}`, `$__env{NAME}` and `$__file{/path}` are replaced, `$$` is a dollar sign. Grafana takes an unset
variable for the empty string without a word, and does not start when a file is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_BRACED = re.compile(r"\$(|__\w+)\{([^}]+)\}")
_BARE = re.compile(r"\$(\w+)")


def variables(text: str) -> list[str]:
    """Names of the environment variables that a value asks for."""
    names: list[str] = []
    for part in text.split("$$"):
        names += [name for kind, name in _BRACED.findall(part) if kind in ("", "__env")]
        names += [name for name in _BARE.findall(_BRACED.sub("", part)) if not name.startswith("__")]
    return names


def files(text: str) -> list[str]:
    """Paths of the files that a value asks for."""
    return [path for part in text.split("$$") for kind, path in _BRACED.findall(part) if kind == "__file"]


def read_file(path: str) -> str:
    """A file's text without white space around it, as Grafana takes it."""
    return Path(path).read_text(encoding="utf-8").strip()


def expand(text: str, environment: Mapping[str, str], read: Callable[[str], str] = read_file) -> str:
    """A value with its variables replaced.

    Raises `OSError` when a file cannot be read. What `read` gives is not expanded again.
    """
    return "$".join(_expand_part(part, environment, read) for part in text.split("$$"))


def _expand_part(part: str, environment: Mapping[str, str], read: Callable[[str], str]) -> str:
    out, end = [], 0
    for match in _BRACED.finditer(part):
        out.append(_expand_bare(part[end : match.start()], environment))
        kind, name = match.groups()
        if kind in ("", "__env"):
            out.append(environment.get(name, ""))
        elif kind == "__file":
            out.append(read(name))
        else:
            raise ValueError(f"${kind}{{...}} is not known; Grafana knows $__env{{NAME}} and $__file{{/path}}")
        end = match.end()
    out.append(_expand_bare(part[end:], environment))
    return "".join(out)


def _expand_bare(text: str, environment: Mapping[str, str]) -> str:
    return _BARE.sub(lambda match: environment.get(match.group(1), ""), text)


def expand_tree(value: object, environment: Mapping[str, str], read: Callable[[str], str] = read_file) -> object:
    """Every string value of a YAML tree expanded; keys never are."""
    if isinstance(value, str):
        return expand(value, environment, read)
    if isinstance(value, list):
        return [expand_tree(item, environment, read) for item in value]
    if isinstance(value, dict):
        return {key: expand_tree(item, environment, read) for key, item in value.items()}
    return value
