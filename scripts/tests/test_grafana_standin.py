"""The stand-in for Grafana, packed as the dry run packs it, with the provisioning files that we ship."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from dryrun.grafana_standin import package, repository

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "packaging/cairn-grafana"
VERSION = "13.2.2"


class Store(BaseHTTPRequestHandler):
    """Stands for a store: says what it was asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def do_GET(self) -> None:
        """Answers with the request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = {"method": self.command, "path": self.path, "body": body.decode(), "headers": dict(self.headers)}
        data = json.dumps(said).encode()
        self.send_response(418 if "teapot" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET


class Standin(unittest.TestCase):
    """A running stand-in."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cairn-grafana-standin-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = ThreadingHTTPServer(("127.0.0.1", 0), Store)
        threading.Thread(target=self.store.serve_forever, daemon=True).start()
        self.addCleanup(self.store.server_close)
        self.addCleanup(self.store.shutdown)
        (self.folder / "data").mkdir()
        shutil.copytree(SHIPPED / "provisioning", self.folder / "provisioning")
        provider = self.folder / "provisioning/dashboards/cairn.yaml"
        provider.write_text(
            provider.read_text().replace("/usr/share/cairn-grafana/dashboards", f"{SHIPPED}/dashboards")
        )
        self.program = self.folder / "grafana"
        package.pack(self.program, VERSION)
        self.url = ""

    def start(self, wait: bool = True, **extra: str) -> subprocess.Popen[str]:
        """Starts it on a free port."""
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(self.folder / "data"),
            "PROVISIONING_CFG_DIR": str(self.folder / "provisioning"),
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": "0",
            "CAIRN_LOG_STORE_URL": f"http://127.0.0.1:{self.store.server_port}/logs",
            "CAIRN_METRICS_STORE_URL": f"http://127.0.0.1:{self.store.server_port}",
            **extra,
        }
        process = subprocess.Popen(
            [sys.executable, str(self.program)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        if wait:
            assert process.stdout is not None
            line = process.stdout.readline()
            self.assertIn("2 data sources and 1 dashboards", line)
            self.url = "http://" + line.split(" listens on ")[1].split()[0]
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """Ends it as systemd does."""
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)

    def ask(self, path: str, password: str | None = None, body: bytes | None = None) -> tuple[int, Any]:
        """Status and answer, as JSON where it is some."""
        request = urllib.request.Request(self.url + path, body)
        if password is not None:
            coded = base64.b64encode(f"admin:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {coded}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, data = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, data = error.code, error.read()
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode()

    def test_health_and_metrics_need_no_login_and_the_rest_does(self) -> None:
        self.start()
        self.assertEqual(self.ask("/api/health"), (200, {"commit": "stand-in", "database": "ok", "version": VERSION}))
        status, page = self.ask("/metrics")
        self.assertEqual(status, 200)
        self.assertIn(f'grafana_build_info{{edition="stand-in",version="{VERSION}"}} 1', page)
        self.assertRegex(page, r"process_resident_memory_bytes \d{7,}")
        for path in ("/api/org", "/api/datasources", "/api/datasources/proxy/uid/cairn-logs/x"):
            self.assertEqual(self.ask(path)[0], 401)
            self.assertEqual(self.ask(path, "wrong")[0], 401)

    def test_the_default_password_is_grafanas_own(self) -> None:
        self.start()
        self.assertEqual(self.ask("/api/org", "admin")[0], 200)

    def test_the_password_of_a_file_counts_while_the_database_is_new(self) -> None:
        secret = self.folder / "secret"
        secret.write_text("first\n")
        variable = {"GF_SECURITY_ADMIN_PASSWORD": f"$__file{{{secret}}}"}
        process = self.start(**variable)
        login = json.dumps({"user": "admin", "password": "first"}).encode()
        self.assertEqual(self.ask("/login", body=login), (200, {"message": "Logged in"}))
        self.assertEqual(self.ask("/login", body=login.replace(b"first", b"admin"))[0], 401)
        self.end(process)
        secret.write_text("second")
        self.start(**variable)
        self.assertEqual(self.ask("/api/org", "first")[0], 200)
        self.assertEqual(self.ask("/api/org", "second")[0], 401)

    def test_questions_go_through_to_the_sources(self) -> None:
        self.start()
        base = "/api/datasources/proxy/uid"
        status, said = self.ask(f"{base}/cairn-logs/loki/api/v1/query?query=a%2Bb", "admin")
        self.assertEqual((status, said["method"], said["path"]), (200, "GET", "/logs/loki/api/v1/query?query=a%2Bb"))
        self.assertNotIn("Authorization", said["headers"])
        status, said = self.ask(f"{base}/cairn-metrics/api/v1/query", "admin", b"query=up")
        self.assertEqual((said["method"], said["path"], said["body"]), ("POST", "/api/v1/query", "query=up"))
        self.assertEqual(self.ask(f"{base}/cairn-metrics/teapot", "admin")[0], 418)
        self.assertEqual(self.ask(f"{base}/nobody/x", "admin")[0], 404)
        self.assertEqual(self.ask("/api/datasources/uid/cairn-metrics/health", "admin")[1]["status"], "OK")

    def test_what_was_provisioned(self) -> None:
        self.start()
        sources = {source["uid"]: source for source in self.ask("/api/datasources", "admin")[1]}
        self.assertEqual(sorted(sources), ["cairn-logs", "cairn-metrics"])
        self.assertTrue(sources["cairn-metrics"]["isDefault"])
        self.assertEqual(sources["cairn-metrics"]["url"], f"http://127.0.0.1:{self.store.server_port}")
        self.assertEqual(
            [(found["uid"], found["folderTitle"]) for found in self.ask("/api/search", "admin")[1]],
            [("cairn-chain", "Cairn")],
        )
        self.assertEqual(self.ask("/api/dashboards/uid/cairn-chain", "admin")[1]["dashboard"]["uid"], "cairn-chain")

    def test_a_store_that_is_away(self) -> None:
        self.start(CAIRN_LOG_STORE_URL="http://127.0.0.1:1", CAIRN_METRICS_STORE_URL="")
        status, said = self.ask("/api/datasources/proxy/uid/cairn-logs/x", "admin")
        self.assertEqual(status, 502)
        self.assertIn("http://127.0.0.1:1: ", said)
        status, said = self.ask("/api/datasources/uid/cairn-metrics/health", "admin")
        self.assertEqual((status, said["status"]), (400, "ERROR"))
        self.assertIn("no usable url", said["message"])

    def refused(self, *said: str, **extra: str) -> None:
        """It does not start, as Grafana would not."""
        process = self.start(wait=False, **extra)
        _, error = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1)
        for text in said:
            self.assertIn(text, error)

    def test_it_does_not_start_where_grafana_would_not(self) -> None:
        missing = f"$__file{{{self.folder}/nothing}}"
        self.refused("GF_SECURITY_ADMIN_PASSWORD=", "No such file", GF_SECURITY_ADMIN_PASSWORD=missing)
        second = self.folder / "provisioning/datasources/second.yaml"
        second.write_text("datasources: [{name: x, uid: x, type: loki, isDefault: true}]")
        self.refused("only one data source can be the default, not cairn-metrics, x")
        second.write_text("datasources: [{name: x, uid: cairn-logs, type: loki}]")
        self.refused("data source with the uid cairn-logs twice")
        second.write_text("datasources: [")
        self.refused("second.yaml: ")

    def test_it_tells_systemd(self) -> None:
        path = self.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(path))
            systemd.settimeout(20)
            process = self.start(NOTIFY_SOCKET=str(path))
            self.assertEqual(systemd.recv(100), b"READY=1")
            process.terminate()
            self.assertEqual(process.wait(timeout=20), 0)


class Package(unittest.TestCase):
    """The package and its repository."""

    def test_a_version_that_is_none(self) -> None:
        for version in ("13", "13.2.2-1", "../13.2.2", ""):
            with self.assertRaisesRegex(ValueError, "not a version of Grafana"):
                package.build(Path("/nonexistent"), version)

    @unittest.skipUnless(
        all(map(shutil.which, ("dpkg-deb", "apt-ftparchive", "gpg", "gpgv", "gpgconf"))),
        "packages and repositories are made with dpkg, apt-utils and gnupg",
    )
    def test_a_signed_repository_with_a_package_that_says_what_it_is(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="cairn-grafana-standin-test-"))
        self.addCleanup(shutil.rmtree, folder)
        made = repository.build(folder / "apt", VERSION)
        self.assertRegex(made.fingerprint, r"^[0-9A-F]{40}$")
        home = folder / "home"
        home.mkdir(mode=0o700)
        environment = {**os.environ, "GNUPGHOME": str(home)}
        keyring = folder / "key.gpg"
        key = made.root / "gpg.key"
        self.assertIn("BEGIN PGP PUBLIC KEY BLOCK", key.read_text())
        subprocess.run(["gpg", "--batch", "-q", "-o", keyring, "--dearmor", key], check=True, env=environment)
        verified = subprocess.run(
            ["gpgv", "--status-fd", "1", "--keyring", keyring, made.root / "dists/stable/InRelease"],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        self.assertIn(f"VALIDSIG {made.fingerprint}", verified.stdout)
        for architecture in repository.ARCHITECTURES:
            index = (made.root / f"dists/stable/main/binary-{architecture}/Packages").read_text()
            self.assertIn(f"Version: {VERSION}\n", index)
            self.assertIn(f"Filename: pool/grafana_{VERSION}_all.deb", index)
        deb = made.root / f"pool/grafana_{VERSION}_all.deb"
        control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
        self.assertIn("Package: grafana\n", control)
        self.assertIn("Description: STAND-IN FOR TESTS, NOT GRAFANA", control)
        listing = subprocess.run(["dpkg-deb", "-c", deb], check=True, capture_output=True, text=True).stdout
        self.assertIn("./usr/lib/systemd/system/grafana-server.service", listing)
        self.assertEqual([line for line in listing.splitlines() if "root/root" not in line], [])


if __name__ == "__main__":
    unittest.main()
