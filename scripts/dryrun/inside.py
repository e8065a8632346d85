"""Commands inside the cloud's network namespace, with the run's resolver where a command looks names up.

A command is exec'ed all the way (nsenter, unshare, sh, the command), so the pid that is started is the command's own:
it can be signalled and waited for like any child.
"""

from __future__ import annotations

import os
from pathlib import Path

# What a command of the cloud's side inherits. Proxies, AWS_*, TF_* and PYTHON* of the caller stay outside: the same run
# must come out on every machine, and no call may leave for a real account by accident.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")

_WITH_RESOLVER = 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && shift && exec "$@"'


def in_namespace(namespace: str, *command: str) -> list[str]:
    """The command line that runs `command` in the network namespace of that name."""
    return ["nsenter", f"--net=/run/netns/{namespace}", *command]


def with_resolver(namespace: str, resolv_conf: Path, *command: str) -> list[str]:
    """As `in_namespace`, with `resolv_conf` over /etc/resolv.conf in a mount namespace of the command's own."""
    return in_namespace(namespace, "unshare", "--mount", "sh", "-c", _WITH_RESOLVER, "sh", str(resolv_conf), *command)


def clean_environment(**extra: str) -> dict[str, str]:
    """The few inherited variables that a command of the cloud's side may see, and `extra`."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, **extra}
