"""Step 7: a request from outside becomes a log line and a metric, both asked from Grafana's machine."""

from __future__ import annotations

import time
from urllib.parse import quote

from dryrun import curl
from dryrun.fleet import ROLES
from dryrun.network import USER
from dryrun.run import Run
from dryrun.workspace import wait_until

REQUESTS = 5
# The app is scraped every ten seconds, everything else every fifteen.
CHAIN_SECONDS = 15.0
SCRAPE_SECONDS = 25.0
TARGETS = {"prometheus": 1, "flask-app": 1, "log-shipper": 4, "log-store": 1, "grafana": 1}
# The app answers 404 to a path that it does not know, logs the path, and counts it under this name.
PASSWORD_FILE = "/run/cairn-grafana/admin-password"
PROXIED = {
    "cairn-logs": "/loki/api/v1/query_range?query=" + quote('{job="flask-app"} |= "') + "MARKER" + quote('"'),
    "cairn-metrics": "/api/v1/query?query=" + quote('flask_app_request_count{endpoint="unmatched"}'),
}
COUNTED = 'flask_app_request_count{job="flask-app",endpoint="unmatched",status="404"}'


def check(run: Run) -> None:
    """Step 7."""
    run.marker = f"/probe-{run.work.id}"
    who, answers = "", []
    for _ in range(REQUESTS):
        who, answer = ask(run, "app", 5000, run.marker)
        answers.append(answer)
    run.report.need(
        all(answer.status == 404 for answer in answers),
        f"{REQUESTS} requests for {run.marker} from {who} to the app were answered",
        str([answer.status for answer in answers]),
    )
    start = time.monotonic()
    found = wait_until(lambda: len(marker_lines(run)) >= REQUESTS, CHAIN_SECONDS, 0.3)
    seconds = time.monotonic() - start
    run.report.check(found, f"they are log lines in the log store after {seconds:.1f} s", str(marker_lines(run)))
    found = wait_until(lambda: counted(run) >= REQUESTS, CHAIN_SECONDS, 0.3)
    seconds = time.monotonic() - start
    run.report.check(
        found, f"they are counted in the metrics store after {seconds:.1f} s", f"{COUNTED} = {counted(run)}"
    )
    check_targets(run)
    check_hosts(run)
    check_grafana(run)


def ask(run: Run, role: str, port: int, path: str, *options: str) -> tuple[str, curl.Answer]:
    """Ask a machine as a user outside does; where it has no public address, as the metrics store, which may as well.

    Returns who asked, and the answer.
    """
    instance = run.fleet.instances[role]
    if instance.public_ip:
        return USER, curl.from_outside(run.network, USER, f"http://{instance.public_ip}:{port}{path}", *options)
    asker = "metrics-store"
    return asker, curl.from_machine(run.fleet[asker], f"http://{instance.private_ip}:{port}{path}", *options)


def marker_lines(run: Run) -> list[str]:
    """Lines of the marked requests, as the log store has them."""
    store = run.fleet.instances["log-store"].private_ip
    return curl.log_lines(run.fleet["grafana"], store, f'{{job="flask-app"}} |= "{run.marker}"')


def counted(run: Run, at: float | None = None) -> float:
    """How many of them the metrics store knows of."""
    store = run.fleet.instances["metrics-store"].private_ip
    return sum(value for _, value in curl.samples(run.fleet["grafana"], store, COUNTED, at))


def check_targets(run: Run) -> None:
    """Every target is scraped: the three rows that the shippers and Grafana's own metrics need are open."""
    store = run.fleet.instances["metrics-store"].private_ip
    up: dict[str, int] = {}

    def all_up() -> bool:
        up.clear()
        for labels, value in curl.samples(run.fleet["grafana"], store, "up"):
            up[labels["job"]] = up.get(labels["job"], 0) + int(value)
        return up == TARGETS

    found = wait_until(all_up, SCRAPE_SECONDS, 0.5)
    run.report.check(found, f"all {sum(TARGETS.values())} targets are scraped", f"up: {up}, wanted: {TARGETS}")


def check_hosts(run: Run) -> None:
    """The shipper of every machine delivers."""
    store = run.fleet.instances["log-store"].private_ip
    hosts: list[str] = []

    def all_there() -> bool:
        hosts[:] = (
            curl.from_machine(run.fleet["grafana"], f"http://{store}:3100/loki/api/v1/label/host/values").json() or {}
        ).get("data") or []
        return set(ROLES) <= set(hosts)

    found = wait_until(all_there, CHAIN_SECONDS, 0.3)
    run.report.check(found, f"the log store has lines of {', '.join(ROLES)}", f"hosts: {', '.join(hosts)}")


def check_grafana(run: Run) -> None:
    """Grafana (or its stand-in) answers a user, with the password of the secret, and asks both stores."""
    who, answer = ask(run, "grafana", 3000, "/api/health")
    run.report.check(answer.status == 200, f"Grafana answers {who} on 3000", f"{answer.status} {answer.body[:200]}")
    if run.grafana.is_stand_in:
        run.report.note("grafana: stand-in on 3000, its provisioning files are checked by scripts/check-provisioning only")
    password = run.fleet["grafana"].read(PASSWORD_FILE).strip()
    login = ("--user", f"admin:{password}")
    for uid, path in PROXIED.items():
        query = path.replace("MARKER", quote(run.marker, safe=""))
        _, answer = ask(run, "grafana", 3000, f"/api/datasources/proxy/uid/{uid}{query}", *login)
        result = ((answer.json() or {}).get("data") or {}).get("result")
        run.report.check(
            bool(result), f"Grafana's data source {uid} finds them", f"{answer.status} {answer.body[:300]}"
        )
    _, answer = ask(run, "grafana", 3000, "/api/search?type=dash-db", *login)
    run.report.check(bool(answer.json()), "Grafana has the provisioned dashboard", answer.body[:300])
