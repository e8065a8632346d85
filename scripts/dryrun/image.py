"""The machine image: a small Debian 12 that stands for the AMI, made once by mmdebstrap and kept in the cache.

    image = Image.of_host()               # what it would hold, and the key that follows from it
    tree = image.ensure(say, log)         # folder with the tree: from the cache, else built (two to three minutes)

The tree is never booted itself: `machine.Machine` lays a writable overlay over it. It is plain on purpose. There is
no package source in it, since a run is hermetic: whatever a machine installs comes from the sources that its user-data
brings. cloud-init is there but switched off, the network is not configured; `seed.py` switches both on in the machines
that want them.

Debian's packages come from wherever the host takes its own: mirror, keyring, proxy, certificates and the rest of apt's
`Acquire` settings are read from the host's configuration. Where the host is not a Debian 12, mmdebstrap's default is
used, or the mirror that CAIRN_DRYRUN_MIRROR names.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dryrun import host

SUITE = "bookworm"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")

# What an official Debian image for EC2 has and user-data relies on, and no more. A machine cannot install from Debian
# later, so what the packages under test (or Grafana's) depend on is here as well.
PACKAGES = (
    "adduser",
    "apt-utils",
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "e2fsprogs",
    "gpg",
    "gpgv",
    "init-system-helpers",
    "iproute2",
    "jq",
    "kmod",
    "libfontconfig1",
    "libpam-systemd",
    "musl",
    "netbase",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "python3-yaml",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
    "udev",
    "unattended-upgrades",
    "util-linux",
)

# Units that have no business in a container: the resolver and the clock are the host's, nobody logs in on a console.
MASKED_UNITS = (
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "console-getty.service",
    "getty.target",
)

FILES = {
    # Else cloud-init writes Debian's sources anew and generates a locale, which it cannot do here.
    "etc/cloud/cloud.cfg.d/90_cairn_image.cfg": (
        "# Written by Cairn's scripts/dryrun/image.py.\n"
        "apt: { preserve_sources_list: true }\n"
        "locale: C.UTF-8\n"
        "network: { config: disabled }\n"
    ),
    "etc/cloud/cloud-init.disabled": "",
    # Empty, not absent: systemd then sets an id up at each first boot.
    "etc/machine-id": "",
    "etc/resolv.conf": "",
}

# Raised when the steps after mmdebstrap change in a way that the lists above do not show.
RECIPE = 1

PROGRESS_SECONDS = 10.0
BUILD_TIMEOUT = 900.0


class ImageError(Exception):
    """The image could not be made; the text says why and what to do."""


@dataclass(frozen=True)
class Image:
    """What goes into the image."""

    sources: tuple[str, ...]
    """One-line apt sources; empty: mmdebstrap's own default."""
    apt_options: tuple[str, ...]
    """Settings of the host's apt that fetching needs, as apt.conf lines."""

    @classmethod
    def of_host(cls) -> Image:
        """The image as this host's apt configuration makes it."""
        mirror = os.environ.get("CAIRN_DRYRUN_MIRROR")
        sources = (f"deb {mirror} {SUITE} main",) if mirror else debian_sources(Path("/etc/apt"))
        dump = host.run(["apt-config", "dump"]).stdout if shutil.which("apt-config") else ""
        return cls(sources, acquire_options(dump))

    @property
    def key(self) -> str:
        """Name of the image in the cache: changes with anything that goes into it."""
        parts = [str(RECIPE), *self.sources, "|", *PACKAGES, "|", *MASKED_UNITS]
        parts += [f"{name}={text}" for name, text in sorted(FILES.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def tree(self) -> Path:
        """Where the finished tree lies, or will."""
        return host.cache_folder() / f"image-{self.key}"

    def cached(self) -> bool:
        """Whether the tree is there already."""
        return self.tree.is_dir()

    def ensure(self, say: Callable[[str], None], log: Path) -> Path:
        """Return the tree, building it first where the cache has none. `say` gets a line every ten seconds."""
        cache = host.cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "image.lock", "w", encoding="ascii") as lock:
            # Two runs that start together build it once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.cached():
                os.utime(self.tree)
                return self.tree
            unfinished = cache / "image-unfinished"
            remove_tree(unfinished)
            try:
                self._bootstrap(unfinished, say, log)
                finish(unfinished)
            except BaseException:
                remove_tree(unfinished)
                raise
            unfinished.rename(self.tree)
            # One older image stays, so that switching between two branches does not build each time.
            others = sorted((p for p in cache.glob("image-*") if p.is_dir()), key=lambda p: p.stat().st_mtime)
            for old in others[:-2]:
                remove_tree(old)
        return self.tree

    def _bootstrap(self, tree: Path, say: Callable[[str], None], log: Path) -> None:
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
        command += [f"--include={','.join(PACKAGES)}"]
        command += [f"--aptopt={option}" for option in self.apt_options]
        command += [SUITE, str(tree), *self.sources]
        start = time.monotonic()
        say(f"image: building {self.key} with mmdebstrap, {len(PACKAGES)} packages and what they need")
        with open(log, "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
            try:
                self._watch(process, tree, log, start, say)
            except BaseException:
                # SIGTERM first: mmdebstrap then unmounts what it mounted below the tree.
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    host.kill_group(process)
                    process.wait()
                raise
        if process.returncode != 0:
            raise ImageError(
                f"mmdebstrap ended with status {process.returncode}; its output is in {log}. Debian's packages were "
                f"asked for from: {'; '.join(self.sources) or 'its default mirror'}. "
                "Set CAIRN_DRYRUN_MIRROR to use another."
            )

    def _watch(
        self, process: subprocess.Popen[str], tree: Path, log: Path, start: float, say: Callable[[str], None]
    ) -> None:
        while True:
            try:
                process.wait(PROGRESS_SECONDS)
                return
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - start
                if seconds > BUILD_TIMEOUT:
                    raise ImageError(
                        f"mmdebstrap is still at work after {seconds:.0f} s; its output is in {log}"
                    ) from None
                say(f"image: {seconds:4.0f} s, {progress(tree, log)}")


def progress(tree: Path, log: Path) -> str:
    """What mmdebstrap is at: its last word, and counts from the tree, since apt prints no more than that to a file."""
    phases = re.findall(r"^I: (.+?)(?:\.\.\.)?$", log.read_text(encoding="utf-8", errors="replace"), re.M)
    fetched = len(list((tree / "var/cache/apt/archives").glob("*.deb")))
    unpacked = len(list((tree / "var/lib/dpkg/info").glob("*.list")))
    return f"{phases[-1] if phases else 'starting'} ({fetched} packages fetched, {unpacked} unpacked)"


def finish(tree: Path) -> None:
    """Turn the fresh tree into the image: no package sources, no settings of the host, our few files."""
    for name in ("etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/hostname", "var/lib/dbus/machine-id"):
        (tree / name).unlink(missing_ok=True)
    for folder in ("etc/apt/sources.list.d", "var/lib/apt/lists", "var/cache/apt/archives"):
        for path in (tree / folder).glob("*"):
            remove_tree(path) if path.is_dir() else path.unlink()
    for name, text in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
    host.run(["systemctl", f"--root={tree}", "mask", *MASKED_UNITS])


def remove_tree(tree: Path) -> None:
    """Remove a tree, but never reach into something that is mounted below it."""
    if tree.exists():
        host.run(["rm", "-rf", "--one-file-system", tree], timeout=120)


def debian_sources(apt: Path) -> tuple[str, ...]:
    """The host's sources for Debian 12, main component, as one-line entries; from both of apt's formats."""
    entries: list[str] = []
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".list":
            entries += one_line_sources(text)
        elif file.suffix == ".sources":
            entries += deb822_sources(text)
    # A host of another release has no entry for the suite itself: a mirror with updates alone would be of no use.
    if not any(entry.split()[-2] == SUITE for entry in entries):
        return ()
    return tuple(dict.fromkeys(entries))


def one_line_sources(text: str) -> list[str]:
    """Debian 12's entries of a `.list` file."""
    found = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.split("#")[0].strip())
        if match and match[3] in SUITES and "main" in match[4].split():
            found.append(f"deb {match[1] or ''}{match[2]} {match[3]} main")
    return found


def deb822_sources(text: str) -> list[str]:
    """Debian 12's entries of a `.sources` file."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        # A line that starts with a space goes on with the field before it.
        fields = dict(
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(":") for line in re.sub(r"\n\s+", " ", "\n".join(lines)).splitlines())
        )
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        if "main" not in fields.get("components", "").split():
            continue
        # An embedded key cannot be said in one line; a path can.
        signed = fields.get("signed-by", "")
        option = f"[signed-by={signed}] " if signed.startswith("/") else ""
        for uri in fields.get("uris", "").split():
            found += [
                f"deb {option}{uri} {suite} main" for suite in fields.get("suites", "").split() if suite in SUITES
            ]
    return found


def acquire_options(dump: str) -> tuple[str, ...]:
    """Those lines of `apt-config dump` that decide how packages are fetched: proxies, certificates, clock checks."""
    wanted = re.compile(
        r"^Acquire::(?:(?:http|https|ftp)(?:::\S+)?::(?:Proxy\S*|CAInfo|CAPath|SslCert|SslKey|Verify-\S+|Timeout)"
        r"|Check-Date|Check-Valid-Until|Retries)\s",
        re.IGNORECASE,
    )
    return tuple(line.strip() for line in dump.splitlines() if wanted.match(line) and not line.rstrip().endswith('"";'))
