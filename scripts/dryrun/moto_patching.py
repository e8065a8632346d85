"""What every patch of moto uses: replacing a name that has to exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class MotoChanged(Exception):
    """A name that a patch replaces or relies on does not exist in this moto."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts `make(original)` in the place of `owner.name`, which has to exist. An owner is a class or a module."""
    require(owner, name)
    setattr(owner, name, make(vars(owner)[name]))


def require(owner: Any, name: str) -> None:
    """Raises MotoChanged unless `owner` itself (not a base of it) defines `name`."""
    if name not in vars(owner):
        place = f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
        raise MotoChanged(f"moto has no {place}.{name} any more; see scripts/dryrun/moto_patches*.py")
