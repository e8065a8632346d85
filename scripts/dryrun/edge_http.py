"""The HTTP server under the edge's two faces: a bounded number of threads, bounded bodies, one log line a request."""

from __future__ import annotations

import http.server
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

# Terraform keeps about two dozen connections, four machines a few each; beyond this somebody is looping.
MAX_CONNECTIONS = 128
# How long a connection may wait for its turn before it is closed.
TURN_SECONDS = 10.0
# Silence after which a connection is closed (also: a client that never finishes its TLS handshake or its request).
IDLE_SECONDS = 75.0
# The largest object is a package (each under 10 MB); debug symbols may be larger.
MAX_BODY_BYTES = 512 * 1024 * 1024


class RequestLog:
    """One line per request, whole and at once, from all threads."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = open(path, "a", buffering=1)
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock:
            self._file.write(time.strftime("%H:%M:%S ") + line + "\n")


class Server(http.server.ThreadingHTTPServer):
    """Serves `handler` on one address with at most MAX_CONNECTIONS threads; with `tls` under a certificate."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[Handler], log: RequestLog, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(address, handler)
        self.log = log
        self.secure = tls is not None
        self._turns = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if tls is not None:
            # The handshake happens at the first read, in the connection's own thread and under its timeout.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._turns.acquire(timeout=TURN_SECONDS):
            self.log.write(f"{client_address[0]} refused: {MAX_CONNECTIONS} connections are open")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._turns.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        problem = sys.exc_info()[1]
        # Clients that go away, scans without TLS, idle connections: theirs to deal with, one line is enough.
        self.log.write(f"{client_address[0]} connection ended: {type(problem).__name__}: {problem}")


class BodyTooLarge(Exception):
    """The request's body is over MAX_BODY_BYTES, or its length cannot be understood."""


class Handler(http.server.BaseHTTPRequestHandler):
    """What both faces share: reading a body, answering, logging."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `answered` writes the line that counts."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def source(self) -> str:
        """The address that the request came from."""
        return str(self.client_address[0])

    @property
    def host(self) -> str:
        """The host name that the request is for, lower-case, without a port."""
        return self.headers.get("Host", "").rsplit(":", 1)[0].lower()

    def read_body(self) -> bytes:
        """The whole body, decoded if it came in chunks. Raises BodyTooLarge."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            raise BodyTooLarge("Content-Length is not a number") from None
        if not 0 <= length <= MAX_BODY_BYTES:
            raise BodyTooLarge(f"a body of {length} bytes; at most {MAX_BODY_BYTES} are taken")
        return self.rfile.read(length)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            try:
                size = int(self.rfile.readline(1024).split(b";")[0], 16)
            except ValueError:
                raise BodyTooLarge("a chunk without a length") from None
            if size < 0 or len(body) + size > MAX_BODY_BYTES:
                raise BodyTooLarge(f"a body of more than {MAX_BODY_BYTES} bytes")
            body += self.rfile.read(size)
            if size == 0:
                while self.rfile.readline(1024).strip():
                    pass  # trailers
                return bytes(body)
            self.rfile.readline(1024)

    def answer(self, status: int, body: bytes | str = b"", note: str = "", **headers: str) -> None:
        """Sends a short answer and logs the request. Header names with `_` for `-`."""
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        # 304 says what a body would be like and sends none.
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.answered(status, note)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(content)

    def answered(self, status: int, note: str = "") -> None:
        """Writes the request's line into the log, before the client can have the whole answer.

        Queries are left out: they can hold signatures.
        """
        path = self.path.split("?", 1)[0]
        self.server.log.write(f"{self.source} {self.host or '-'} {self.command} {path} {status} {note}".rstrip())
