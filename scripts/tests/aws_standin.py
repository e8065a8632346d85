"""A metadata service and a Secrets Manager on loopback, for the tests of fetch-secret.

Both listen on one port. Requests to Secrets Manager must be signed: the signature is computed again from what arrived
(AWS Signature Version 4), so a request that AWS would refuse is refused here.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ACCESS_KEY = "ASIAEXAMPLEKEY"
SECRET_KEY = "sec/ret+key=of the role"
SESSION_TOKEN = "session/token+" + "x" * 1200 + "=="
IMDS_TOKEN = "imds-token=="
ROLE = "cairn-demo-grafana"
REGION = "eu-west-3"


@dataclass
class Answer:
    """An answer that a test puts in front of the usual ones."""

    status: int
    kind: str = ""
    message: str = ""


@dataclass
class State:
    """What the stand-in holds and what it has seen."""

    arn: str
    exists: bool = True
    value: str | None = None
    #: `SecretString`'s JSON text instead of the one of `value`.
    raw_value: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    role_appears_after: int = 0
    imds_status: int = 200
    #: Texts of the metadata service instead of the usual ones, by path.
    imds_texts: dict[str, str] = field(default_factory=dict)
    #: The paths that the metadata service was asked for.
    imds_paths: list[str] = field(default_factory=list)
    #: Answers given before the usual ones, by action.
    planned: dict[str, list[Answer]] = field(default_factory=dict)
    #: Called with an action's name before it is answered.
    before: Callable[[str], None] = lambda _action: None
    actions: list[str] = field(default_factory=list)
    bad_signatures: list[str] = field(default_factory=list)


def signature_error(method: str, path: str, headers: dict[str, str], body: bytes) -> str | None:
    """Says what is wrong with a request's signature; `None` when it is right."""
    authorization = headers.get("authorization", "")
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != "AWS4-HMAC-SHA256":
        return f"algorithm {algorithm!r}"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key_id, day, region, service, _ = parts["Credential"].split("/")
    if (key_id, region, service) != (ACCESS_KEY, REGION, "secretsmanager"):
        return f"credential {parts['Credential']}"
    signed = parts["SignedHeaders"].split(";")
    missing = {"host", "x-amz-date", "x-amz-security-token", "x-amz-target"} - set(signed)
    if missing:
        return f"unsigned headers {sorted(missing)}"
    canonical = "\n".join(
        [
            method,
            path,
            "",
            *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join([algorithm, headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for step in (day, region, service, "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    want = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(want, parts["Signature"]) else "signature"


class AwsStandin:
    """The server; use as a context manager."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.lock = threading.Lock()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Tests are quiet."""

            def handle(self) -> None:
                """The script hangs up where an answer is too long for it."""
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    super().handle()

            def _send(self, status: int, body: str) -> None:
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_PUT(self) -> None:
                """A token of the metadata service."""
                status = standin.state.imds_status
                token = standin.state.imds_texts.get(self.path, IMDS_TOKEN)
                self._send(status, token if status == 200 else "")

            def do_GET(self) -> None:
                """The rest of the metadata service."""
                if self.headers.get("X-aws-ec2-metadata-token") != IMDS_TOKEN:
                    self._send(401, "")
                    return
                self._send(*standin.metadata(self.path))

            def do_POST(self) -> None:
                """Secrets Manager."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._send(*standin.secrets_manager(self.path, headers, body))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> AwsStandin:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def metadata(self, path: str) -> tuple[int, str]:
        """Answers of the metadata service that need a token."""
        base = "/latest/meta-data/iam/security-credentials/"
        self.state.imds_paths.append(path)
        if path in self.state.imds_texts:
            return 200, self.state.imds_texts[path]
        if self.state.role_appears_after > 0:
            self.state.role_appears_after -= 1
            return 404, ""
        if path == base:
            return 200, ROLE
        if path == base + ROLE:
            return 200, credentials()
        return 404, ""

    def secrets_manager(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """Answers of Secrets Manager."""
        state = self.state
        action = headers.get("x-amz-target", "").removeprefix("secretsmanager.")
        state.actions.append(action)
        wrong = signature_error("POST", path, headers, body)
        if wrong or headers.get("x-amz-security-token") != SESSION_TOKEN:
            state.bad_signatures.append(wrong or "security token")
            return refusal(Answer(400, "InvalidSignatureException", f"wrong: {wrong}"))
        state.before(action)
        if state.planned.get(action):
            return refusal(state.planned[action].pop(0))
        request = json.loads(body)
        if not state.exists or request["SecretId"] != state.arn:
            return refusal(Answer(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."))
        with self.lock:
            return self.get() if action == "GetSecretValue" else self.put(request)

    def get(self) -> tuple[int, str]:
        """`GetSecretValue`."""
        state = self.state
        if state.value is None and state.raw_value is None:
            text = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"
            return refusal(Answer(400, "ResourceNotFoundException", text))
        raw = state.raw_value if state.raw_value is not None else json.dumps(state.value)
        return 200, f'{{"ARN":"{state.arn}","Name":"n","SecretString":{raw},"VersionId":"v"}}'

    def put(self, request: dict[str, str]) -> tuple[int, str]:
        """`PutSecretValue`: a token that has another content already is refused."""
        state = self.state
        token, text = request["ClientRequestToken"], request["SecretString"]
        if not 32 <= len(token) <= 64:
            return refusal(Answer(400, "InvalidParameterException", "ClientRequestToken"))
        if state.versions.setdefault(token, text) != text:
            return refusal(Answer(400, "ResourceExistsException", "this version exists"))
        state.value = text
        return 200, json.dumps({"ARN": state.arn, "VersionId": token})


def credentials() -> str:
    """The role's credentials as the metadata service writes them."""
    texts = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": ACCESS_KEY,
        "SecretAccessKey": SECRET_KEY,
        "Token": SESSION_TOKEN,
        "Expiration": "2099-01-01T00:00:00Z",
    }
    return json.dumps(texts, indent=2)


def refusal(answer: Answer) -> tuple[int, str]:
    """An error as Secrets Manager writes it."""
    return answer.status, json.dumps({"__type": answer.kind, "Message": answer.message})
