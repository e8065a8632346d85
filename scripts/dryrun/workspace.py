"""All that one run puts on the computer, under one name, and how it goes away again.

A run has an id of four characters. Its namespaces and machines are called `cdry-<id>-…`, its links `cd<id>…`, its files
lie in one folder, and each process that it starts is noted there with its pid and start time. A note below /run says
which process owns the run and where its folder is. So `clear_run` can undo a run from what exists, whoever calls it:
the run itself at its end, or the next one that finds a note whose owner is gone (`sweep_dead`).

    with Workspace(Path(".cairn/dryrun")) as work:
        moto = work.spawn("moto", ["moto_server", ...])
        ...

Nothing here ends a process by its name, and no loop device but those of the run's own files is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from dryrun import cgroup, host

NOTES = Path("/run/cairn-dryrun")
ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
STOP_SECONDS = 10.0
# What asks a program to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Exit status of a run that was asked.
INTERRUPTED = 130


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP came; not an Exception, so that no handler for failures takes it."""


class DeadlineOver(BaseException):
    """A block took longer than `Workspace.deadline` allows."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in the block when a signal asks the program to end: for work that needs no workspace."""

    def asked(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    old = {number: signal.signal(number, asked) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@dataclass
class Workspace:
    """A run's id, its folder, and the processes that it started.

    `folder` holds one folder per run, which keeps the logs; `work.scratch` below it goes away with the run.
    """

    folder: Path
    id: str = field(default_factory=lambda: "".join(secrets.choice(ID_LETTERS) for _ in range(4)))
    keep: bool = False
    """Leave everything running at the end (--keep)."""

    def __post_init__(self) -> None:
        self.logs = self.folder.resolve() / self.id
        self.scratch = self.logs / "scratch"
        self._deferred = 0
        self._pending: BaseException | None = None
        self._old_handlers: dict[int, object] = {}

    @property
    def private(self) -> Path:
        """A folder with a short path, for sockets, which goes away with the run."""
        folder = NOTES / f"{self.id}.d"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @property
    def prefix(self) -> str:
        """First part of the name of each namespace and machine."""
        return f"cdry-{self.id}-"

    def link(self, name: str) -> str:
        """Name of a network link: the kernel takes at most 15 characters."""
        full = f"cd{self.id}{name}"
        assert len(full) <= 15, full
        return full

    def __enter__(self) -> Workspace:
        (self.logs / "pids").mkdir(parents=True)
        self.scratch.mkdir()
        NOTES.mkdir(parents=True, exist_ok=True)
        self._note_owner(os.getpid())
        for number in SIGNALS:
            self._old_handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        # From here on a second Ctrl-C must not cut the clearing short.
        self._deferred += 1
        try:
            if self.keep:
                self._note_owner(None)
            else:
                clear_run(self.id, self.logs)
        finally:
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]

    def _note_owner(self, pid: int | None) -> None:
        note = {"pid": pid, "start": start_time(pid) if pid else None, "logs": str(self.logs)}
        write_json(NOTES / self.id, note)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._raise(Interrupted(signal.Signals(number).name))

    def _raise(self, reason: BaseException) -> None:
        """Raise it now, or at the end of the block that must not be disturbed."""
        if not self._deferred:
            raise reason
        if not isinstance(self._pending, Interrupted):
            self._pending = reason

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Put an interruption off until the block is done: between the making of a thing and the note of it."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1
        if self._pending is not None and not self._deferred:
            reason, self._pending = self._pending, None
            raise reason

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Raise DeadlineOver in the block when it takes longer."""

        def over(_number: int, _frame: FrameType | None) -> None:
            self._raise(DeadlineOver(f"it was ended after {seconds:.0f} s"))

        old = signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)

    @contextlib.contextmanager
    def deadline_off(self) -> Iterator[None]:
        """Stop the clock of `deadline` for the block."""
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, left)

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        append: bool = False,
    ) -> subprocess.Popen[str]:
        """Start a process that stays; its output goes to `<name>.log`, its pid is noted. It ends with the run."""
        target = log or self.logs / f"{name}.log"
        with self.undisturbed(), open(target, "a" if append else "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
            )
            write_json(self._pid_note(name), {"pid": process.pid, "start": start_time(process.pid)})
        return process

    def end(self, name: str, process: subprocess.Popen[str], seconds: float = STOP_SECONDS) -> None:
        """End a process that `spawn` started: SIGTERM, and SIGKILL to its session after `seconds`."""
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            host.kill_group(process)
            process.wait()
        self.forget(name)

    def forget(self, name: str) -> None:
        """Drop the note of a process that ended."""
        self._pid_note(name).unlink(missing_ok=True)

    def _pid_note(self, name: str) -> Path:
        return self.logs / "pids" / f"{name}.json"


def write_json(path: Path, content: object) -> None:
    """Write a small JSON file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.rename(path)


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid, a name given only once. None: it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def alive(pid: int | None, start: int | None) -> bool:
    """Whether the process with this pid is still the one that was noted."""
    return pid is not None and start is not None and start_time(pid) == start


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Look again and again until the condition holds; False when the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def sweep_dead(*, kept_too: bool = False) -> list[str]:
    """Clear what runs left behind whose owner is gone; `kept_too`: also those that --keep left. Returns their ids."""
    cleared = []
    for run_id in sorted(known_runs()):
        try:
            note = json.loads((NOTES / run_id).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            note = {"pid": 0, "start": 0, "logs": None}
        if alive(note["pid"], note["start"]) or (note["pid"] is None and not kept_too):
            continue
        clear_run(run_id, Path(note["logs"]) if note["logs"] else None)
        cleared.append(run_id)
    return cleared


def known_runs() -> set[str]:
    """Ids of all runs that left a note or a namespace."""
    ids = {path.name for path in NOTES.glob("*")} if NOTES.is_dir() else set()
    for name in namespaces():
        if match := re.match(r"cdry-([a-z0-9]{4})-", name):
            ids.add(match[1])
    return {name for name in ids if re.fullmatch(r"[a-z0-9]{4}", name)}


def namespaces(prefix: str = "cdry-") -> list[str]:
    """Named network namespaces with this prefix."""
    folder = Path("/run/netns")
    return sorted(path.name for path in folder.glob(f"{prefix}*")) if folder.is_dir() else []


def clear_run(run_id: str, logs: Path | None) -> None:
    """Undo a run from what exists: processes, links, namespaces, mounts, loop devices, scratch files. Its logs stay."""
    if logs is not None:
        end_processes(logs / "pids")
    clear_network(run_id)
    cgroup.remove(f"cdry-{run_id}-")
    if logs is not None:
        scratch = logs / "scratch"
        for point in mounts_below(scratch):
            host.run(["umount", point], check=False)
        for point in mounts_below(scratch):
            # Something still looks into it: out of the tree at once, freed when the last user goes.
            host.run(["umount", "--lazy", point], check=False)
        for device in loops_below(scratch):
            host.run(["losetup", "--detach", device], check=False)
        if not mounts_below(scratch):
            shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(logs / "pids", ignore_errors=True)
    shutil.rmtree(NOTES / f"{run_id}.d", ignore_errors=True)
    (NOTES / run_id).unlink(missing_ok=True)


def remains(run_id: str, logs: Path) -> list[str]:
    """What is still there of a run, in words; nothing after `clear_run`."""
    found = [f"namespace {name}" for name in namespaces(f"cdry-{run_id}-")]
    found += [f"mount {point}" for point in mounts_below(logs)]
    found += [f"loop device {device}" for device in loops_below(logs)]
    found += [f"control group {group}" for group in cgroup.named(f"cdry-{run_id}-")]
    found += [f"file {path}" for path in (logs / "scratch", NOTES / run_id, NOTES / f"{run_id}.d") if path.exists()]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"cdry-{run_id}-" in words or str(logs) in words:
                    found.append(f"process {entry.name}: {words[:100]}")
    return found


def end_processes(notes: Path) -> None:
    """SIGTERM to each noted process that is still the same one, SIGKILL to what is left ten seconds later."""
    noted = []
    for path in sorted(notes.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            note = json.loads(path.read_text(encoding="utf-8"))
            noted.append((note["pid"], note["start"]))
    ours = [(pid, start) for pid, start in noted if alive(pid, start)]
    for pid, _ in ours:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not any(alive(*process) for process in ours), STOP_SECONDS)
    for pid, start in ours:
        if alive(pid, start):
            # A machine's init is a child of nspawn in a process namespace of its own: with it everything inside dies.
            for victim in [*children(pid), pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not any(alive(*process) for process in ours), STOP_SECONDS)


def clear_network(run_id: str) -> None:
    """Delete a run's links, then its namespaces: one that still holds a link dies late and its name stays taken."""
    prefix, link = f"cdry-{run_id}-", f"cd{run_id}"
    for where in (None, *namespaces(prefix)):
        command = ["ip", *(["-n", where] if where else [])]
        listing = host.run([*command, "-j", "link"], check=False).stdout
        for entry in json.loads(listing or "[]"):
            if entry["ifname"].startswith(link):
                host.run([*command, "link", "delete", entry["ifname"]], check=False)
    for name in namespaces(prefix):
        host.run(["ip", "netns", "delete", name], check=False)


def mounts_below(folder: Path) -> list[str]:
    """Mount points below a folder, deepest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
        if Path(point).is_relative_to(folder):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def loops_below(folder: Path) -> list[str]:
    """Loop devices whose file lies below a folder."""
    listing = host.run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"], check=False).stdout
    devices = json.loads(listing)["loopdevices"] if listing.strip() else []
    return [
        device["name"]
        for device in devices
        if Path((device["back-file"] or "/").removesuffix(" (deleted)")).is_relative_to(folder)
    ]
