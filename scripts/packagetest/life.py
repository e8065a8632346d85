"""The steps: install, work, hang, be misconfigured, upgrade, downgrade, remove, purge. Each step stands on the one before."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import urlencode

from dryrun import repack
from dryrun.machine import Machine
from dryrun.report import Report
from dryrun.workspace import wait_until
from packagetest import units
from packagetest.units import DAEMONS

PACKAGES = (*DAEMONS, "cairn-grafana")
# As user-data installs: the administrator's file stays, and nobody is asked.
KEEP_FILES = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
PREPARED = '# Written before the package came.\nenvironment = "prepared"\n'
# A store with a data volume of its own; purge has to leave the mount point.
MOUNT_POINT = "/var/lib/cairn-log-store"
CHAIN_SECONDS = 40.0
# Longer than RestartSec= of the units: a restart loop would show.
LOOP_SECONDS = 3.0
# WatchdogSec= of the units, and some seconds for the abort and the start.
WATCHDOG_SECONDS = 45.0


class Life:
    """One machine, and what the steps have found out about it so far."""

    def __init__(self, machine: Machine, report: Report, debs: dict[str, Path], newer: dict[str, Path]) -> None:
        self.machine, self.report = machine, report
        self.debs, self.newer = debs, newer
        self.version = repack.field(debs["cairn-app"], "Version")
        self.newer_version = repack.field(newer["cairn-app"], "Version")
        self.nonce = f"life-{secrets.token_hex(6)}"

    # Steps

    def install(self) -> None:
        """From the signed repository, with one configuration that is there already and one data volume."""
        machine, report = self.machine, self.report
        machine.write("/etc/apt/sources.list.d/cairn.list", "deb [signed-by=/srv/apt/cairn.asc] file:/srv/apt stable main\n")
        machine.write("/etc/cairn/app.toml", PREPARED)
        machine.run("mkdir", "-p", MOUNT_POINT)
        machine.run("mount", "-t", "tmpfs", "-o", "size=256m,mode=0755", "tmpfs", MOUNT_POINT)
        machine.run("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
        said = self.apt("install", *PACKAGES).stdout
        report.check(machine.read("/etc/cairn/app.toml") == PREPARED, "install: the prepared configuration is kept", said)
        report.check(self.exists("/etc/cairn/app.toml.dpkg-dist"), "install: the packaged one lies beside it")
        for daemon in DAEMONS:
            self.check_running(daemon, "install")
        self.check_files()
        manual = machine.run("dpkg", "--listfiles", *DAEMONS).stdout
        missing = [path for d in DAEMONS for path in (f"/man8/{d}.8.gz", f"/man5/{d}.toml.5.gz") if path not in manual]
        report.check(not missing, "install: manual pages of every daemon", "\n".join(missing))
        undescribed = [f"{daemon}: {option}" for daemon in DAEMONS for option in self.undescribed_options(daemon)]
        report.check(not undescribed, "install: the manual pages name every option of --help", "\n".join(undescribed))
        report.check(not machine.failed_units(), "install: no failed unit", "\n".join(machine.failed_units()))

    def start_times(self) -> list[str]:
        """Time from exec to READY of each daemon, started anew; lines for the summary."""
        lines = []
        for daemon in DAEMONS:
            times = []
            for _ in range(3):
                self.machine.run("systemctl", "restart", daemon)
                times.append(units.state(self.machine, daemon).start_ms)
            # Systemd counts restarts by hand against the limit too.
            self.machine.run("systemctl", "reset-failed", daemon)
            lines.append(f"{daemon:<22} ready after {min(times):.0f} to {max(times):.0f} ms")
            self.report.check(max(times) < 2000, f"start: {daemon} is ready within 2 s", f"{times} ms")
        return lines

    def chain(self) -> None:
        """With the packaged configurations: a request is a log line in one store and a sample in the other."""
        self.request()
        self.report.check(
            wait_until(lambda: self.line_is_stored(self.nonce), CHAIN_SECONDS, 0.5),
            "chain: the request is a line in the log store",
            units.journal(self.machine, "cairn-log-shipper"),
        )
        query = 'flask_app_request_count{job="flask-app",status="404"} > 0'
        self.report.check(
            wait_until(lambda: bool(self.metric(query)), CHAIN_SECONDS, 0.5),
            "chain: the request is counted in the metrics store",
            units.journal(self.machine, "cairn-metrics-store"),
        )
        jobs = {"prometheus", "flask-app", "cairn-log-shipper", "cairn-log-store"}
        self.report.check(
            wait_until(lambda: self.metric("up == 1") == jobs, CHAIN_SECONDS, 0.5),
            "chain: all four daemons are scraped",
            str(self.metric("up == 1")),
        )

    def exposures(self) -> list[str]:
        """Scores of the running units; lines for the summary."""
        lines = []
        for daemon in DAEMONS:
            score = units.exposure(self.machine, daemon)
            lines.append(f"{daemon:<22} exposure {score}")
            self.report.check(score <= units.MAX_EXPOSURE, f"exposure: {daemon} {score}, running")
        return lines

    def watchdog(self) -> None:
        """Each daemon is stopped where it stands: systemd has to notice and to start it again."""
        before = {daemon: units.state(self.machine, daemon) for daemon in DAEMONS}
        for daemon in DAEMONS:
            self.machine.run("kill", "-STOP", str(before[daemon].pid))

        def is_back(daemon: str) -> bool:
            now = units.state(self.machine, daemon)
            return now.active == "active" and now.pid not in (0, before[daemon].pid)

        wait_until(lambda: all(is_back(daemon) for daemon in DAEMONS), WATCHDOG_SECONDS, 0.5)
        for daemon in DAEMONS:
            said = units.journal(self.machine, daemon)
            self.report.check(
                is_back(daemon) and "Watchdog timeout" in said, f"watchdog: {daemon} hung and was started again", said
            )

    def bad_configuration(self) -> None:
        """A file with a mistake: a reload keeps the old one, a start ends with 78 and is not tried again."""
        for daemon in DAEMONS:
            path = f"/etc/cairn/{daemon.removeprefix('cairn-')}.toml"
            good = self.machine.read(path)
            before = units.state(self.machine, daemon)
            self.machine.write(path, "no_such_key = 1\n" + good)
            reload = self.machine.run("systemctl", "reload", daemon, check=False)
            now = units.state(self.machine, daemon)
            self.report.check(
                reload.returncode != 0 and now.active == "active" and now.pid == before.pid,
                f"bad configuration: {daemon} refuses to reload it and goes on",
                f"{now}\n{units.journal(self.machine, daemon)}",
            )
            self.machine.run("systemctl", "restart", daemon, check=False)
            time.sleep(LOOP_SECONDS)
            now = units.state(self.machine, daemon)
            said = units.journal(self.machine, daemon)
            self.report.check(
                (now.active, now.exit_status, now.restarts) == ("failed", 78, 0) and "no_such_key" in said,
                f"bad configuration: {daemon} ends with 78, says where, and is not tried again",
                f"{now}\n{said}",
            )
            self.machine.write(path, good)
            self.machine.run("systemctl", "start", daemon)
            self.check_running(daemon, "bad configuration, corrected")
            reload = self.machine.run("systemctl", "reload", daemon, check=False)
            self.report.check(reload.returncode == 0, f"reload: {daemon} takes a good one", reload.stderr)

    def upgrade(self) -> None:
        """A newer package: the daemon runs anew, on its old data."""
        before = {daemon: units.state(self.machine, daemon).pid for daemon in DAEMONS}
        self.apt("install", *self.inside(self.newer))
        for daemon in DAEMONS:
            self.check_running(daemon, "upgrade")
            self.report.check(units.state(self.machine, daemon).pid != before[daemon], f"upgrade: {daemon} was restarted")
        self.check_version(self.newer_version, "upgrade")
        self.check_data("upgrade")

    def downgrade(self) -> None:
        """The older package is refused before anything happened, unless it is wanted."""
        for daemon in DAEMONS:
            back = self.apt("install", "--allow-downgrades", self.inside(self.debs)[PACKAGES.index(daemon)], check=False)
            said = back.stdout + back.stderr
            self.report.check(
                back.returncode != 0 and "refusing to go back" in said and "CAIRN_ALLOW_DOWNGRADE=1" in said,
                f"downgrade: {daemon} is refused, with the way out",
                said,
            )
            self.check_running(daemon, "refused downgrade")
        self.check_version(self.newer_version, "refused downgrade")
        audit = self.machine.run("dpkg", "--audit").stdout
        self.report.check(not audit.strip(), "refused downgrade: nothing half-installed", audit)

        self.apt("install", "--allow-downgrades", *self.inside(self.debs), environment="CAIRN_ALLOW_DOWNGRADE=1")
        for daemon in DAEMONS:
            self.check_running(daemon, "wanted downgrade")
        self.check_version(self.version, "wanted downgrade")
        self.check_data("wanted downgrade")

    def remove(self) -> None:
        """Removed packages leave data and configuration, and take both up when they come back."""
        self.apt("remove", *PACKAGES)
        for daemon in DAEMONS:
            is_active = self.machine.run("systemctl", "is-active", daemon, check=False).stdout.strip()
            self.report.check(is_active in ("inactive", "unknown"), f"remove: {daemon} is stopped", is_active)
            self.report.check(
                self.exists(f"/etc/cairn/{daemon.removeprefix('cairn-')}.toml") and self.exists(f"/var/lib/{daemon}"),
                f"remove: {daemon}'s configuration and data stay",
            )
        self.report.check(not self.exists("/usr/bin/cairn-app"), "remove: the programs are gone")
        self.apt("install", *PACKAGES)
        for daemon in DAEMONS:
            self.check_running(daemon, "installed again")
        self.check_data("installed again")

    def purge(self) -> None:
        """Nothing is left but users and what is not the packages' to take: mounts, and where a link leads."""
        nested, elsewhere = "/var/lib/cairn-metrics-store/others/disk", "/srv/app-data"
        # Of the same file system, so that its number of the device does not give it away.
        bound, owner = "/var/lib/cairn-metrics-store/bound", "/srv/another"
        self.machine.run("mkdir", "-p", nested, bound, owner)
        self.machine.write(f"{owner}/kept", "another's\n")
        self.machine.run("mount", "--bind", owner, bound)
        self.machine.run("mount", "-t", "tmpfs", "tmpfs", nested)
        self.machine.write(f"{nested}/kept", "another's\n")
        self.machine.run("systemctl", "stop", "cairn-app")
        self.machine.run("mv", "/var/lib/cairn-app", elsewhere)
        self.machine.run("ln", "-s", elsewhere, "/var/lib/cairn-app")
        self.machine.write(f"{elsewhere}/left", "behind a link\n")
        said = self.apt("purge", *PACKAGES, check=False)
        text = said.stdout + said.stderr
        self.report.check(
            said.returncode == 0 and "mounted below /var/lib/cairn-metrics-store and stays" in text,
            "purge: a file system mounted further down does not end it, and is named",
            text,
        )
        kept = self.machine.run("cat", f"{nested}/kept", f"{owner}/kept", check=False).stdout
        self.report.check(kept == "another's\n" * 2, "purge: what is on it stays, and so does what a bind mount shows", kept)
        behind = self.machine.run("ls", "-A", elsewhere, check=False)
        self.report.check(behind.returncode == 0 and not behind.stdout, "purge: the data behind a link is gone", behind.stdout)
        self.machine.run("umount", nested, bound)
        self.machine.run("rmdir", bound, nested, str(Path(nested).parent), "/var/lib/cairn-metrics-store")
        left = self.machine.shell(
            "shopt -s nullglob; ls -d /etc/cairn /var/lib/cairn-* /var/log/cairn-* /var/cache/cairn-* /run/cairn-* "
            "/usr/share/cairn-* /etc/grafana 2>/dev/null",
            check=False,
        ).stdout.split()
        self.report.check(left == [MOUNT_POINT], "purge: data, logs and configuration are gone", "\n".join(left))
        is_mounted = self.machine.run("mountpoint", "--quiet", MOUNT_POINT, check=False).returncode == 0
        inside = self.machine.run("ls", "-A", MOUNT_POINT, check=False).stdout
        self.report.check(is_mounted and not inside, "purge: the data volume is empty and still mounted", inside)
        self.report.check(not self.machine.failed_units(), "purge: no failed unit", "\n".join(self.machine.failed_units()))
        states = self.machine.run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", "cairn-*", check=False)
        self.report.check("installed" not in states.stdout.split(), "purge: dpkg has forgotten them", states.stdout)

    # Inner parts

    def apt(self, *words: str, check: bool = True, environment: str = "LC_ALL=C.UTF-8") -> CompletedProcess[str]:
        """apt-get without questions; nothing from outside the machine's own sources."""
        command = ["env", environment, "apt-get", "--yes", "--no-install-recommends", *KEEP_FILES, *words]
        return self.machine.run(*command, check=check, timeout=300)

    def inside(self, debs: dict[str, Path]) -> list[str]:
        """Where the machine sees these packages."""
        folder = "/srv/newer" if debs is self.newer else "/srv/debs"
        return [f"{folder}/{debs[name].name}" for name in PACKAGES]

    def exists(self, path: str) -> bool:
        """Whether the machine has this path."""
        return self.machine.run("test", "-e", path, check=False).returncode == 0

    def check_running(self, daemon: str, when: str) -> None:
        """Enabled, active (which is: notified ready), and not by a second attempt."""
        state = units.state(self.machine, daemon)
        self.report.check(
            (state.active, state.enabled) == ("active", "enabled") and state.restarts == 0 and state.pid > 0,
            f"{when}: {daemon} is enabled and notified ready ({state.status_text})",
            f"{state}\n{units.journal(self.machine, daemon)}",
        )

    def check_files(self) -> None:
        """Whose the files are: the shipper reads the app's log, nobody else does."""
        wanted = {
            "/var/log/cairn-app": "750 cairn-app cairn-logs",
            "/var/log/cairn-app/app.log": "640 cairn-app cairn-logs",
            "/etc/cairn/log-store.toml": "644 root root",
            **{f"/var/lib/{d}": f"750 {d} {'cairn-logs' if d == 'cairn-app' else d}" for d in DAEMONS},
        }
        for path, want in wanted.items():
            have = self.machine.run("stat", "--format=%a %U %G", path, check=False).stdout.strip()
            self.report.check(have == want, f"install: {path} is {want}", have)

    def undescribed_options(self, daemon: str) -> list[str]:
        """Options that --help shows and the manual page does not."""
        shown = re.findall(r"^ +(?:-\w, )?--([a-z.-]+)", self.machine.run(daemon, "--help").stdout, re.MULTILINE)
        page = self.machine.run("zcat", f"/usr/share/man/man8/{daemon}.8.gz").stdout
        return [name for name in shown if not re.search(rf"\bFl (?:Fl )?{re.escape(name)}\b", page)] if shown else ["none shown"]

    def check_version(self, version: str, when: str) -> None:
        """Every package has this version."""
        shown = self.machine.run("dpkg-query", "--show", "--showformat=${Version}\n", *PACKAGES).stdout.split()
        self.report.check(set(shown) == {version}, f"{when}: version {version}", " ".join(shown))

    def check_data(self, when: str) -> None:
        """The line of the first request is still there, and a new one arrives."""
        self.report.check(
            wait_until(lambda: self.line_is_stored(self.nonce), CHAIN_SECONDS, 0.5), f"{when}: the first line is still there"
        )
        after = f"life-{secrets.token_hex(6)}"
        self.request(after)
        self.report.check(
            wait_until(lambda: self.line_is_stored(after), CHAIN_SECONDS, 0.5),
            f"{when}: new lines arrive",
            units.journal(self.machine, "cairn-log-shipper"),
        )

    def request(self, nonce: str = "") -> None:
        """One request to the app whose path nobody else asks for."""
        self.machine.run("curl", "--silent", "--output", "/dev/null", f"http://127.0.0.1:5000/{nonce or self.nonce}")

    def ask(self, url: str, **parameters: str) -> dict[str, Any]:
        """JSON of one of the stores; an empty answer where there is none."""
        command = f"curl --silent --max-time 5 {shlex.quote(url + '?' + urlencode(parameters))}"
        said = self.machine.shell(command, check=False).stdout
        try:
            answer = json.loads(said)
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}

    def line_is_stored(self, nonce: str) -> bool:
        """Whether the log store has the line of this request, once."""
        query = '{job="flask-app"} |= "' + nonce + '"'
        answer = self.ask("http://127.0.0.1:3100/loki/api/v1/query_range", query=query, since="1h")
        streams = answer.get("data", {}).get("result", [])
        return sum(len(stream["values"]) for stream in streams) == 1

    def metric(self, query: str) -> set[str]:
        """The jobs whose series a query of the metrics store returns."""
        answer = self.ask("http://127.0.0.1:9090/api/v1/query", query=query)
        return {series["metric"].get("job", "") for series in answer.get("data", {}).get("result", [])}
