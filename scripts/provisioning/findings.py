"""What is wrong, and where: a file and the path of the value in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    file: str
    #: Place in the file, as in `datasources[0].jsonData.httpMethod`; empty for the file as a whole.
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.message}" if self.path else f"{self.file}: {self.message}"


@dataclass
class Findings:
    """Collects them; `at` is where the checker stands."""

    file: str = ""
    path: str = ""
    all: list[Finding] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Something is wrong here."""
        self.all.append(Finding(self.file, self.path, message))

    @contextmanager
    def in_file(self, name: str) -> Iterator[None]:
        """What is found inside is in this file."""
        kept = (self.file, self.path)
        self.file, self.path = name, ""
        try:
            yield
        finally:
            self.file, self.path = kept

    @contextmanager
    def at(self, step: str | int) -> Iterator[None]:
        """What is found inside is below this key or index."""
        kept = self.path
        self.path = below(kept, step)
        try:
            yield
        finally:
            self.path = kept


def below(path: str, step: str | int) -> str:
    """The path of a child."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step
