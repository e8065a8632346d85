"""Tokens of the metadata service, version 2 (IMDSv2): who gets one, and which requests pass.

Pure but for the clock, which is handed in. A token belongs to the address that asked for it *and* to the instance that
had that address then, so that the token of a replaced machine dies with it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Protocol

TOKEN_HEADER = "X-aws-ec2-metadata-token"
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
# AWS's limits: one second to six hours.
MIN_TTL_SECONDS, MAX_TTL_SECONDS = 1, 21600

# A machine that asks for tokens in a loop must not fill the memory: the oldest ones go first.
MAX_TOKENS = 10_000

# cloud-init looks at the DMI tables to learn that it is on AWS. A container has none, and then it asks without a token
# and, refused, ends as DataSourceNone with status "done" and nothing run. Its two names get in without one.
CLOUD_INIT_AGENTS = ("Cloud-Init", "python-requests")


class Headers(Protocol):
    """What is asked of a request's headers."""

    def get(self, name: str, default: str, /) -> str:
        """A header's value, or the default."""

    def __contains__(self, name: str, /) -> bool: ...


class TokenRefused(Exception):
    """No token for this request; `status` is the HTTP status to answer with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Tokens:
    """All tokens that are out. Safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._out: dict[str, tuple[str, str, float]] = {}

    def issue(self, address: str, instance_id: str, headers: Headers) -> tuple[str, int]:
        """A new token and its life in seconds, as asked for by the TTL header. Raises TokenRefused."""
        if "X-Forwarded-For" in headers:
            # A proxy on the machine would hand the machine's rights to its clients.
            raise TokenRefused(403, "a forwarded request gets no token")
        try:
            ttl = int(headers.get(TTL_HEADER, ""))
        except ValueError:
            raise TokenRefused(400, f"{TTL_HEADER} is missing or not a number") from None
        if not MIN_TTL_SECONDS <= ttl <= MAX_TTL_SECONDS:
            raise TokenRefused(400, f"{TTL_HEADER} must be {MIN_TTL_SECONDS} to {MAX_TTL_SECONDS}")
        token = secrets.token_urlsafe(42)
        with self._lock:
            self._forget_old()
            self._out[token] = (address, instance_id, self._clock() + ttl)
        return token, ttl

    def permits(self, address: str, instance_id: str, headers: Headers, required: bool) -> bool:
        """Whether a GET with these headers may be answered; `required` is the instance's `http_tokens = "required"`.

        A token that is sent has to be good even where none is needed.
        """
        if TOKEN_HEADER not in headers:
            return not required or headers.get("User-Agent", "").startswith(CLOUD_INIT_AGENTS)
        with self._lock:
            owner, instance, until = self._out.get(headers.get(TOKEN_HEADER, ""), ("", "", 0.0))
        return owner == address and instance == instance_id and self._clock() < until

    def _forget_old(self) -> None:
        now = self._clock()
        if len(self._out) >= MAX_TOKENS:
            self._out = {token: entry for token, entry in self._out.items() if entry[2] > now}
        while len(self._out) >= MAX_TOKENS:
            del self._out[next(iter(self._out))]
