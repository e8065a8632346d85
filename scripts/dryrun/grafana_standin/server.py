"""The stand-in's HTTP side: the part of Grafana's API that a deployment can be judged by."""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from . import proxy
from .stock import Stock

STARTED = time.time()

#: Largest request body that is read, in bytes.
BODY_LIMIT = 1 << 20


def metrics(version: str) -> str:
    """The page that the metrics store scrapes."""
    times = os.times()
    with open("/proc/self/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    rows = (
        ("grafana_build_info", "gauge", f'{{edition="stand-in",version="{version}"}}', 1),
        ("process_cpu_seconds_total", "counter", "", times.user + times.system),
        ("process_resident_memory_bytes", "gauge", "", resident),
        ("process_start_time_seconds", "gauge", "", STARTED),
    )
    return "".join(f"# TYPE {name} {kind}\n{name}{labels} {value}\n" for name, kind, labels, value in rows)


class Handler(BaseHTTPRequestHandler):
    """One request. `stock` is put on the class by `serve`."""

    protocol_version = "HTTP/1.1"
    server_version = "grafana-standin"
    stock: Stock

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Quiet: the journal is for what went wrong."""

    def answer(self, status: int, body: object, kind: str = "application/json") -> None:
        """Sends an answer; anything but bytes becomes JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="Grafana"')
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> bytes | None:
        """The request's body; `None` when it is longer than is read."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def logged_in(self) -> bool:
        """Whether the request brings the admin's password by basic authentication."""
        kind, _, coded = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self.stock.admits(user, password)

    def do_GET(self) -> None:
        """What everybody may see, then what takes a login."""
        path = self.path.partition("?")[0]
        version = self.stock.settings.version
        if path == "/api/health":
            return self.answer(200, {"commit": "stand-in", "database": "ok", "version": version})
        if path == "/metrics":
            return self.answer(200, metrics(version).encode(), "text/plain; version=0.0.4")
        if path in ("/", "/login"):
            text = b"A stand-in for Grafana: only for tests, and nothing to look at.\n"
            return self.answer(200, text, "text/plain")
        return self.with_login(b"")

    def do_POST(self) -> None:
        """Login, and questions to a source."""
        body = self.body()
        if body is None:
            return self.answer(413, {"message": f"more than {BODY_LIMIT} bytes"})
        if self.path != "/login":
            return self.with_login(body)
        try:
            form = json.loads(body)
            admitted = self.stock.admits(str(form["user"]), str(form["password"]))
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"message": "bad login data"})
        if not admitted:
            return self.answer(401, {"message": "Invalid username or password"})
        return self.answer(200, {"message": "Logged in"})

    def with_login(self, body: bytes) -> None:
        """Answers under `/api/` to the admin."""
        if not self.path.startswith("/api/"):
            return self.answer(404, {"message": "Not found"})
        if not self.logged_in():
            return self.answer(401, {"message": "Unauthorized"})
        path, _, query = self.path.partition("?")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        stock = self.stock
        match parts[1:]:
            case ["org"]:
                return self.answer(200, {"id": 1, "name": "Main Org."})
            case ["datasources"]:
                return self.answer(200, [public(source) for source in stock.data_sources.values()])
            case ["datasources", "uid", uid] if uid in stock.data_sources:
                return self.answer(200, public(stock.data_sources[uid]))
            case ["datasources", "uid", uid, "health"] if uid in stock.data_sources:
                return self.health(uid)
            case ["datasources", "proxy", "uid", uid, *_] if uid in stock.data_sources:
                rest = "/" + path.split("/", 6)[6] if path.count("/") >= 6 else "/"
                target = rest + (f"?{query}" if query else "")
                source = stock.data_sources[uid]
                status, kind, data = proxy.ask(source, self.command, target, dict(self.headers), body or None)
                return self.answer(status, data, kind or "application/octet-stream")
            case ["search"]:
                found = [
                    {"uid": uid, "title": board["title"], "type": "dash-db", "folderTitle": board["folder"]}
                    for uid, board in stock.dashboards.items()
                ]
                return self.answer(200, found)
            case ["dashboards", "uid", uid] if uid in stock.dashboards:
                return self.answer(200, {"dashboard": stock.dashboards[uid], "meta": {"provisioned": True}})
        return self.answer(404, {"message": f"{path}: not found, or not in the stand-in"})

    def health(self, uid: str) -> None:
        """Grafana's "Save & test"."""
        source = self.stock.data_sources[uid]
        target = proxy.HEALTH.get(source["type"])
        if target is None:
            return self.answer(404, {"message": f"no health check for the type {source['type']}"})
        status, _, data = proxy.ask(source, "GET", target, {}, None)
        if status == 200:
            return self.answer(200, {"status": "OK", "message": "Data source is working"})
        return self.answer(400, {"status": "ERROR", "message": data.decode(errors="replace")})


def public(source: dict[str, object]) -> dict[str, object]:
    """A source without its secrets."""
    return {key: value for key, value in source.items() if key != "secureJsonData"}


def bind(stock: Stock) -> ThreadingHTTPServer:
    """A server that listens; `serve_forever` is the caller's."""
    handler = type("BoundHandler", (Handler,), {"stock": stock})
    return ThreadingHTTPServer((stock.settings.address, stock.settings.port), handler)
