"""Step 12, second half: keys, an index and volumes that are not what they should be are refused, and left as they are.

Each case runs the machine's own boot script, at most with a smaller number of seconds or tries in it.
"""

from __future__ import annotations

import re
import subprocess

from dryrun import host
from dryrun.machine import VOLUME_DEVICE, Machine
from dryrun.repository import end_agent, make_key
from dryrun.run import Run
from dryrun.steps.boot import check_units, check_volume, main_pids
from dryrun.steps.releases import installed_packages

BOOT_SCRIPT = "/usr/local/sbin/cairn-boot"
SCRIPT_SECONDS = 120.0
KEYRING = "/etc/apt/keyrings/grafana.asc"
DEVICE = f"/dev/{VOLUME_DEVICE}"
# The part of the volume that is written and put back.
HEAD_MIB = 16
SAVED = "/root/data-volume.saved"
FOREIGN_CONTENT = (
    # Smaller than the volume, so that it writes nothing behind the part that is put back.
    ("a foreign file system", f"mke2fs -q -F -t ext2 {DEVICE} {HEAD_MIB // 2}M"),
    ("raw data", f"head --bytes={HEAD_MIB}M /dev/urandom >{DEVICE}"),
)
GROWN_MIB = 1536
# The kernel asks for it, in its own first user namespace, when a mounted ext4 is to grow.
CAP_SYS_RESOURCE = 24


def impatient(machine: Machine, name: str, value: int) -> subprocess.CompletedProcess[str]:
    """Run the machine's own script with one number of it changed, so that it gives up sooner."""
    copy = "/root/impatient-cairn-boot"
    text, changed = re.subn(rf"(?m)^{name}=\d+", f"{name}={value}", machine.read(BOOT_SCRIPT))
    assert changed == 1, f"{BOOT_SCRIPT} sets {name} {changed} times"
    machine.write(copy, text, 0o755)
    done = machine.run(copy, check=False, timeout=SCRIPT_SECONDS)
    machine.run("rm", copy)
    return done


def refused_in(step: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the script failed in this step, and said so."""
    return done.returncode != 0 and f"FAILED in step '{step}'" in done.stdout


# ---- Grafana's key --------------------------------------------------------------------------------------------------


def wrong_keys(run: Run) -> None:
    """A machine that fetches Grafana's key anew takes the right one, and no other along with it."""
    machine, served = run.fleet["grafana"], run.grafana.folder / "gpg.key"
    genuine, foreign = served.read_bytes(), foreign_key(run)
    before = main_pids(machine, "grafana")
    try:
        for what, content in (("another key", foreign), ("another key besides the right one", foreign + genuine)):
            served.write_bytes(content)
            done = fetch_key_anew(machine)
            refused = refused_in("packages", done) and not machine.exists(KEYRING)
            run.report.check(refused, f"Grafana's repository has {what}: refused", done.stdout + done.stderr)
        # gpg skips what it does not know; apt takes the first block, whatever it is called.
        served.write_bytes(disguised(foreign) + genuine)
        done = fetch_key_anew(machine)
        kept = machine.read(KEYRING) if machine.exists(KEYRING) else ""
        inside = [line for line in foreign.decode("ascii").splitlines() if len(line) > 40 and line in kept]
        text = "Grafana's repository has another key in disguise: it is not trusted"
        run.report.check(not inside, text, done.stdout + done.stderr)
    finally:
        served.write_bytes(genuine)
    done = fetch_key_anew(machine)
    again = machine.shell("apt-get -q -o APT::Update::Error-Mode=any update", check=False, timeout=SCRIPT_SECONDS)
    good = done.returncode == again.returncode == 0
    run.report.check(good, "the right key is taken, and apt reads the repository by it", done.stdout + again.stderr)
    same = main_pids(machine, "grafana") == before
    run.report.check(same, "grafana: all that left the running units alone", f"before: {before}")


def fetch_key_anew(machine: Machine) -> subprocess.CompletedProcess[str]:
    """What the documentation says for a key that expired."""
    machine.run("rm", "-f", KEYRING)
    return machine.run("cairn-boot", check=False, timeout=SCRIPT_SECONDS)


def foreign_key(run: Run) -> bytes:
    """Somebody else's public key, as a key server would give it."""
    home = run.work.private / "foreign"
    home.mkdir(mode=0o700)
    fingerprint = make_key(home, "Somebody else <else@example.invalid>")
    key = host.run(["gpg", "--homedir", home, "--batch", "--armor", "--export", fingerprint]).stdout
    end_agent(home)
    return key.encode("ascii")


def disguised(key: bytes) -> bytes:
    """A key under a title that OpenPGP does not know."""
    return key.replace(b"PGP PUBLIC KEY BLOCK", b"CAIRN NOTICE")


# ---- the index ------------------------------------------------------------------------------------------------------


def edited_index(run: Run) -> None:
    """An index that was changed after it was signed stops the script; apt alone would go on with old lists."""
    machine, package = run.fleet["app"], "cairn-app"
    machine.run("apt-get", "-q", "-y", "remove", package, timeout=SCRIPT_SECONDS)
    before = lists(machine)
    index = next(key for key in run.cloud.objects() if key.endswith("/dists/stable/InRelease"))
    run.cloud.tamper_object(index)
    try:
        done = impatient(machine, "tries", 1)
    finally:
        run.cloud.restore_object(index)
    refused = refused_in("packages", done) and package not in installed_packages(machine)
    run.report.check(refused, "edited InRelease: cairn-boot fails, nothing is installed", done.stdout + done.stderr)
    after = lists(machine)
    run.report.check(bool(before) and after == before, "edited InRelease: the old lists are kept", f"{before}\n{after}")
    healed = machine.run("cairn-boot", check=False, timeout=SCRIPT_SECONDS)
    run.report.check(healed.returncode == 0, "edited InRelease: with the right one cairn-boot heals", healed.stdout)
    check_units(run, "app")


def lists(machine: Machine) -> str:
    """Sums of what apt knows of Cairn's repository."""
    return machine.shell("cd /var/lib/apt/lists && sha256sum *_apt_dists_stable_*", check=False).stdout


# ---- the volume -----------------------------------------------------------------------------------------------------


def foreign_volumes(run: Run, role: str) -> None:
    """What may be somebody's data is neither formatted nor mounted. The volume is free when this is called."""
    machine = run.fleet[role]
    machine.run("dd", f"if={DEVICE}", f"of={SAVED}", "bs=1M", f"count={HEAD_MIB}", "status=none")
    for what, write in FOREIGN_CONTENT:
        machine.shell(f"dd if=/dev/zero of={DEVICE} bs=1M count={HEAD_MIB} status=none conv=fsync; {write}; sync")
        before = head_sum(machine)
        done = machine.run("cairn-boot", check=False, timeout=SCRIPT_SECONDS)
        refused = refused_in("data volume", done) and "vol" in done.stdout
        run.report.check(refused, f"{what} on the data volume: refused", done.stdout + done.stderr)
        run.report.check(head_sum(machine) == before, f"{what} on the data volume: untouched")
    machine.run("dd", f"if={SAVED}", f"of={DEVICE}", "bs=1M", "conv=fsync", "status=none")
    machine.run("rm", SAVED)


def head_sum(machine: Machine) -> str:
    """Sum of the volume's first part."""
    return machine.shell(f"head --bytes={HEAD_MIB}M {DEVICE} | sha256sum").stdout


def grown_volume(run: Run, role: str, folder: str) -> None:
    """A volume that was made larger under a running machine: the script gives its file system the room."""
    machine = run.fleet[role]
    assert machine.volume is not None
    before, pids = size_mib(machine, folder), main_pids(machine, role)
    grown_by = GROWN_MIB - machine.volume.mebibytes
    machine.volume.grow(GROWN_MIB)
    done = machine.run("cairn-boot", check=False, timeout=SCRIPT_SECONDS)
    after = size_mib(machine, folder)
    text = f"{role}: volume made {grown_by} MiB larger, cairn-boot: "
    if has_capability(machine.run("cat", "/proc/self/status").stdout, CAP_SYS_RESOURCE):
        # A few percent of it are the file system's own.
        good, text = after - before > grown_by * 0.9, text + f"{before} MiB become {after}"
    else:
        run.report.note("this host lacks CAP_SYS_RESOURCE: no mounted file system grows on it, only the try is seen")
        good, text = f"resize2fs {link(machine)} failed" in done.stdout, text + "it tries, says that it cannot, goes on"
    good = good and done.returncode == 0 and main_pids(machine, role) == pids
    run.report.check(good, text, done.stdout + done.stderr)
    check_volume(run, role)


def has_capability(status: str, number: int) -> bool:
    """Whether a process may do something, by its file `status` below /proc."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.M)
    return found is not None and bool(int(found[1], 16) >> number & 1)


def link(machine: Machine) -> str:
    """The volume's name in the machine, as the script knows it."""
    assert machine.volume is not None
    return f"/dev/disk/by-id/{machine.volume.link_name}"


def size_mib(machine: Machine, folder: str) -> int:
    """Size of the file system that a folder lies on."""
    return int(machine.run("df", "--output=size", "--block-size=1M", folder).stdout.split()[-1])
