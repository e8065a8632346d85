"""A booted Debian machine in systemd-nspawn, with systemd as its first process. Needs root.

    tree = Image.of_host().ensure(print, Path("image.log"))
    with Workspace(Path(".cairn/dryrun")) as work:               # takes everything away at the end, also on Ctrl-C
        machine = Machine(work, "packages", tree, binds=[Bind(Path("dist/apt"), "/srv/apt")])
        machine.write("/etc/apt/sources.list.d/cairn.list", "deb [trusted=yes] file:/srv/apt stable main\n")
        machine.start()                                          # boots and waits until systemd has started everything
        machine.run("apt-get", "update")                         # another status than 0: CommandFailed, with the output
        if machine.run("systemctl", "is-active", "x", check=False).returncode != 0: ...
        machine.reboot()                                         # also: stop(), start(), power_cut()
        machine.remove()                                         # forgets its disk

Its root is an overlay over the image: what it writes goes into a folder of its own and the image stays as it was.
Without `namespace` it has a network of its own with nothing but loopback; with it, it lives in that network namespace
(`network.py` makes those). `machine.console` is the log of its console. cloud-init stays off unless a function of
`seed.py` prepared the root before the first start.

The host may run any init and either cgroup hierarchy. On a host with cgroup v1 controllers, limits such as MemoryMax=
are not enforced inside.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dryrun import cgroup, host
from dryrun.host import CommandFailed
from dryrun.volume import Volume
from dryrun.workspace import Workspace, children, wait_until

BOOT_SECONDS = 60.0
STOP_SECONDS = 20.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
VOLUME_DEVICE = "nvme1n1"


class MachineError(Exception):
    """A machine did not do what it was told; the text names its console log."""


@dataclass(frozen=True)
class Bind:
    """A folder of the host inside the machine."""

    source: Path
    target: str
    read_only: bool = True


class Machine:
    """One machine. The constructor mounts its root (`machine.root`), so that files can be laid before it starts."""

    def __init__(
        self,
        work: Workspace,
        name: str,
        image: Path,
        *,
        namespace: str | None = None,
        binds: Sequence[Bind] = (),
        volume: Volume | None = None,
    ) -> None:
        self.work, self.name, self.image = work, name, image
        self.namespace, self.binds, self.volume = namespace, tuple(binds), volume
        self.folder = work.scratch / "machines" / name
        self.root = self.folder / "root"
        self.console = work.logs / f"{name}.console.log"
        # A machine of the same name may have written to the log before this one.
        self._console_start = self.console.stat().st_size if self.console.exists() else 0
        self._process: subprocess.Popen[str] | None = None
        self._leader: int | None = None
        self._links = self.folder / "by-id"
        for folder in (self.root, self.folder / "upper", self.folder / "work", self._links):
            folder.mkdir(parents=True)
        self._mount()

    # Life

    def start(self, *, volume_later: bool = False, wait: bool = True) -> None:
        """Boot, and wait until systemd has started all that it should.

        With `volume_later` the data volume's name shows up only at `show_volume()`, as on EC2, where the attachment
        comes after the instance runs. With `wait=False` return as soon as commands can be run.
        """
        assert self._process is None, f"{self.name} runs already"
        command = [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}",
            f"--machine={self.work.prefix}{self.name}", f"--hostname={self.name}",
            "--register=no", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
            # `pipe` leaves the console log empty.
            "--console=read-only",
        ]  # fmt: skip
        if self.namespace is None:
            command += ["--private-network"]
        else:
            command += [f"--network-namespace-path=/run/netns/{self.namespace}", "--capability=CAP_NET_ADMIN"]
        for bind in self.binds:
            command += [f"--bind{'-ro' if bind.read_only else ''}={escape(bind.source.resolve())}:{bind.target}"]
        if self.volume is not None:
            command += [f"--bind={self.volume.attach()}:/dev/{VOLUME_DEVICE}"]
            # The links that udev would make. A folder of the host, so that one can appear at any moment.
            command += [f"--bind-ro={escape(self._links)}:/dev/disk/by-id"]
            self.hide_volume()
            if not volume_later:
                self.show_volume()
        if not cgroup.host_runs_systemd():
            command = cgroup.enter_command(f"{self.work.prefix}{self.name}", [*command, "--keep-unit"])
        # Without this a host with cgroup v1 controllers boots systemd into the old hierarchy.
        environment = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1", SYSTEMD_LOG_LEVEL="warning")
        self._process = self.work.spawn(self._note, command, env=environment, log=self.console, append=True)
        self._wait_for_init()
        if wait:
            self.wait_started()

    def stop(self) -> None:
        """Power off in order, as `poweroff` inside would."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.power_cut()
            raise MachineError(
                f"{self.name} did not power off within {STOP_SECONDS:.0f} s; console: {self.console}"
            ) from None
        self._ended()

    def power_cut(self) -> None:
        """Take the power away: every process inside is killed at once.

        The kernel goes on, so what a process had written without a sync is still there afterwards; this shows what a
        sudden end does to the machine's software, not to its disk.
        """
        process = self._running()
        if self._leader is not None:
            try:
                os.kill(self._leader, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            host.kill_group(process)
            process.wait()
        self._ended()

    def reboot(self, *, wait: bool = True) -> None:
        """Power off in order and boot again; the data volume is there from the first moment."""
        self.stop()
        self.start(wait=wait)

    def remove(self) -> None:
        """Forget the machine and its root disk; a data volume stays."""
        if self._process is not None:
            self.power_cut()
        self._unmount()
        shutil.rmtree(self.folder)

    @property
    def running(self) -> bool:
        """Whether it is on."""
        return self._process is not None and self._process.poll() is None

    # Work inside

    def run(
        self,
        *argv: str,
        check: bool = True,
        timeout: float = 60,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root and return it with its status and output."""
        return host.run(self.enter_command(*argv), check=check, timeout=timeout, stdin=stdin)

    def shell(self, script: str, *, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a few lines of bash inside."""
        return self.run("bash", "-euo", "pipefail", "-c", script, check=check, timeout=timeout)

    def enter_command(self, *argv: str) -> list[str]:
        """The command that runs `argv` inside, for those who start it themselves."""
        self._running()
        settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return ["nsenter", "--target", str(self._leader), "--all", "env", "-i", *settings, *argv]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside (parents are made); works before the first start too."""
        target = self._inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def copy_in(self, source: Path, path: str) -> None:
        """Copy a file or a folder of the host to `path` inside."""
        target = self._inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def read(self, path: str) -> str:
        """Content of a file inside."""
        return self._inside(path).read_text(encoding="utf-8", errors="replace")

    def exists(self, path: str) -> bool:
        """Whether there is such a file inside."""
        return self._inside(path).exists()

    def console_text(self) -> str:
        """What this machine wrote to its console so far."""
        with open(self.console, encoding="utf-8", errors="replace") as log:
            log.seek(self._console_start)
            return log.read()

    def show_volume(self) -> None:
        """Let the data volume's name appear below /dev/disk/by-id."""
        assert self.volume is not None, f"{self.name} has no data volume"
        link = self._links / self.volume.link_name
        if not link.is_symlink():
            link.symlink_to(f"../../{VOLUME_DEVICE}")

    def hide_volume(self) -> None:
        """Take the data volume's name away again."""
        for link in self._links.iterdir():
            link.unlink()

    def wait_started(self, seconds: float = BOOT_SECONDS) -> str:
        """Wait until systemd has nothing left to start; returns `running` or, with a failed unit, `degraded`."""
        state = ""

        def settled() -> bool:
            nonlocal state
            self._running()
            state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            return state in ("running", "degraded")

        if not wait_until(settled, seconds, 0.2):
            jobs = self.run("systemctl", "list-jobs", "--no-legend", check=False).stdout.strip()
            raise MachineError(
                f"{self.name} is still {state or 'silent'} after {seconds:.0f} s; console: {self.console}\n{jobs}"
            )
        return state

    def failed_units(self) -> list[str]:
        """Names of the units that failed."""
        listing = self.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
        return [line.split()[0] for line in listing.splitlines() if line.strip()]

    # Inner parts

    @property
    def _note(self) -> str:
        return f"machine-{self.name}"

    def _mount(self) -> None:
        options = ",".join(
            f"{name}={escape(path)}"
            for name, path in (
                ("lowerdir", self.image),
                ("upperdir", self.folder / "upper"),
                ("workdir", self.folder / "work"),
            )
        )
        host.run(["mount", "-t", "overlay", "overlay", "-o", options, self.root])

    def _unmount(self) -> None:
        try:
            host.run(["umount", self.root])
        except CommandFailed:
            # The kernel may still be closing what the machine had open.
            time.sleep(0.5)
            host.run(["umount", self.root])

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise MachineError(f"{self.name} is not running")
        if self._process.poll() is not None:
            raise MachineError(
                f"{self.name} ended by itself with status {self._process.returncode}; console: {self.console}"
            )
        return self._process

    def _ended(self) -> None:
        self.work.forget(self._note)
        self._process = self._leader = None
        cgroup.remove(f"{self.work.prefix}{self.name}")

    def _wait_for_init(self) -> None:
        """Wait until the machine's first process answers."""
        process = self._running()

        def answers() -> bool:
            self._running()
            for child in children(process.pid):
                self._leader = child
                # systemd's own socket is there as soon as it takes commands.
                if Path(f"/proc/{child}/root/run/systemd/private").exists():
                    return True
            return False

        if not wait_until(answers, BOOT_SECONDS):
            raise MachineError(
                f"systemd in {self.name} did not answer within {BOOT_SECONDS:.0f} s; console: {self.console}"
            )

    def _inside(self, path: str) -> Path:
        """The path as the host sees it; of a running machine through its own mounts, with /run and volumes."""
        if self._process is None:
            return self.root / path.lstrip("/")
        self._running()
        return Path(f"/proc/{self._leader}/root") / path.lstrip("/")


def escape(path: Path) -> str:
    """A path as an option's value for mount and nspawn, where colons and commas mean something."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
