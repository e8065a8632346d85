"""Commands on the host: run them, and say what failed in words that help."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(Exception):
    """A command ended with another status than 0, or not in time; the text holds the command and its last words."""

    def __init__(self, argv: Sequence[str], status: int | None, output: str) -> None:
        self.argv, self.status, self.output = list(argv), status, output
        how = "did not end in time" if status is None else f"ended with status {status}"
        tail = "\n".join(output.strip().splitlines()[-15:])
        super().__init__(f"{shlex.join(argv)} {how}" + (f":\n{tail}" if tail else ""))


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    timeout: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end and return it with what it printed.

    The command gets a session of its own, so that a Ctrl-C on the terminal reaches this program alone, which then
    clears up in order.
    """
    words = [str(word) for word in argv]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(env) if env is not None else None,
        cwd=cwd,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except BaseException as problem:
        kill_group(process)
        stdout, stderr = process.communicate()
        if isinstance(problem, subprocess.TimeoutExpired):
            raise CommandFailed(words, None, stdout + stderr) from None
        raise
    if check and process.returncode != 0:
        raise CommandFailed(words, process.returncode, stdout + stderr)
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a process that leads a session of its own, with everything that it started there."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass


def end_group(process: subprocess.Popen[str], seconds: float = 10.0) -> None:
    """Ask a process that leads a session of its own, and all that it started there, to end; after `seconds` make it."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(seconds)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    # What it started may take longer than itself.
    kill_group(process)
    process.wait()


def cache_folder() -> Path:
    """Where things that outlive a run are kept: the machine image, the virtual environment."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cairn" / "dryrun"
