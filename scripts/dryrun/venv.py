"""The pinned virtual environment that the cloud's side of the dry run (moto, the edge, the operator's calls) runs in.

Everything else of the dry run needs the standard library only. The environment is made once per set of requirements and
Python version, below the user's cache folder; pip is used as the host configures it (index, certificates, wheels).
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from dryrun import host

# moto is pinned because moto_patches_*.py replace parts of it by name, boto3 because moto answers by its models.
REQUIREMENTS = ("moto[server,all]==5.2.1", "boto3==1.44.8")

# A line of progress at most this often: the installation takes half a minute to several minutes.
PROGRESS_SECONDS = 5.0
# What is shown of pip's output when it fails.
TAIL_LINES = 15

_COMPLETE = "complete"


class VenvError(Exception):
    """The environment could not be made; the message says why and what to do."""


def location() -> Path:
    """Where the environment for these requirements and this Python lies, made or not."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = "\n".join((*REQUIREMENTS, version, sys.executable))
    return host.cache_folder() / f"venv-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def existing_python() -> Path | None:
    """The environment's interpreter if it has been made completely, else None. Makes nothing."""
    folder = location()
    return folder / "bin" / "python" if (folder / _COMPLETE).exists() else None


def ensure(progress: Callable[[str], None]) -> Path:
    """Makes the environment unless it is there, and returns its interpreter.

    Two runs at once wait for each other; an environment that was cut off while being made is made again.
    """
    folder = location()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = existing_python()
        if python is None:
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, progress)
            python = folder / "bin" / "python"
    return python


def _make(folder: Path, progress: Callable[[str], None]) -> None:
    started = time.monotonic()
    progress(f"making the Python environment for moto in {folder} (once; about a minute)")
    try:
        host.run([sys.executable, "-m", "venv", folder], timeout=300)
    except host.CommandFailed as problem:
        raise VenvError(f"{problem}\non Debian the package python3-venv brings what it needs") from None
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off", *REQUIREMENTS]
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    collected, told = 0, started
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            tail.append(line.rstrip())
            collected += line.startswith("Collecting ")
            now = time.monotonic()
            if now - told >= PROGRESS_SECONDS:
                told = now
                progress(f"  pip: {collected} packages looked up, {now - started:.0f} s: {line.strip()[:70]}")
    if pip.returncode != 0:
        lines = "\n".join(tail)
        raise VenvError(
            f"pip could not install {' '.join(REQUIREMENTS)} into {folder}; check that its package index can be "
            f"reached (pip config list), then run this again\n{lines}"
        )
    (folder / _COMPLETE).write_text("\n".join(REQUIREMENTS) + "\n")
    progress(f"  made in {time.monotonic() - started:.0f} s")
