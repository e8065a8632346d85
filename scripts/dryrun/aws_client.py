"""AWS calls from the dry run's own process, which has no boto3 and stands outside the cloud's namespace.

`AwsClient` keeps one worker (aws_worker.py) inside the namespace and talks to it over pipes. By default a call goes to
moto directly; `front=True` takes the way that a user's call takes: AWS's host name, the run's resolver, TLS, the edge.
"""

from __future__ import annotations

import base64
import json
import select
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dryrun import inside

# Longer than the worker's own limits, so that its error, which says more, comes first.
ANSWER_SECONDS = 150.0


class AwsError(Exception):
    """AWS (moto) refused a call, or it could not be made. `code` is AWS's error code."""

    def __init__(self, call: str, code: str, message: str) -> None:
        super().__init__(f"{call}: {code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Credentials:
    """An access key, with a session token if it is a role's."""

    key_id: str
    secret: str
    token: str | None = None


class AwsClient:
    """Calls as one identity (`credentials`, exchangeable) unless a call brings its own. Safe between threads."""

    def __init__(
        self,
        python: Path,
        namespace: str,
        resolv_conf: Path,
        authority: Path,
        moto: str,
        region: str,
        log: Path,
    ) -> None:
        # Before there are users, moto takes any key.
        self.credentials = Credentials("test", "test")
        self._moto = moto
        self._lock = threading.Lock()
        command = inside.with_resolver(namespace, resolv_conf, str(python), "-m", "dryrun.aws_worker", moto, region)
        with open(log, "ab") as errors:
            self._worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=inside.clean_environment(
                    PYTHONPATH=str(Path(__file__).resolve().parent.parent),
                    AWS_CA_BUNDLE=str(authority),
                    AWS_EC2_METADATA_DISABLED="true",
                    AWS_CONFIG_FILE=str(log.with_name("no-aws-config")),
                    AWS_SHARED_CREDENTIALS_FILE=str(log.with_name("no-aws-credentials")),
                ),
                # `-m` looks for modules in the working folder first: not in whatever folder the user stands in.
                cwd=log.parent,
                start_new_session=True,
            )
        self._log = log

    @property
    def pid(self) -> int:
        """The worker's process id, for those who keep a list of what to end."""
        return self._worker.pid

    def call(
        self,
        service: str,
        operation: str,
        *,
        front: bool = False,
        credentials: Credentials | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """One call with boto3's names (`call("ec2", "describe_vpcs", VpcIds=[...])`); lists come whole, all pages.

        Raises AwsError.
        """
        who = credentials or self.credentials
        request = {
            "service": service,
            "operation": operation,
            "parameters": _encode(parameters),
            "endpoint": None if front else self._moto,
            "credentials": [who.key_id, who.secret, who.token],
        }
        return self._ask(f"{service} {operation}", request)

    def moto_switch(self, path: str, body: str) -> None:
        """POSTs `body` to one of moto's own addresses, such as /moto-api/reset-auth."""
        self._ask(f"moto {path}", {"post": path, "body": body})

    def close(self) -> None:
        """Ends the worker."""
        if self._worker.stdin is not None:
            self._worker.stdin.close()
        try:
            self._worker.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        if self._worker.stdout is not None:
            self._worker.stdout.close()

    def _ask(self, call: str, request: dict[str, Any]) -> dict[str, Any]:
        worker = self._worker
        assert worker.stdin is not None and worker.stdout is not None
        with self._lock:
            try:
                worker.stdin.write(json.dumps(request).encode() + b"\n")
                worker.stdin.flush()
            except OSError:
                raise AwsError(call, "WorkerGone", f"the AWS worker has ended; see {self._log}") from None
            if not select.select([worker.stdout], [], [], ANSWER_SECONDS)[0]:
                # Its answer would be taken for the next call's, so there is no next call.
                worker.kill()
                raise AwsError(call, "NoAnswer", f"nothing came within {ANSWER_SECONDS:.0f} s; see {self._log}")
            line = worker.stdout.readline()
        if not line:
            raise AwsError(call, "WorkerGone", f"the AWS worker ended without an answer; see {self._log}")
        answer = json.loads(line, object_hook=_decode)
        if "error" in answer:
            raise AwsError(call, answer["error"]["code"], answer["error"]["message"])
        return answer["result"]


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _encode(inner) for name, inner in value.items()}
    return [_encode(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _decode(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$base64"]) if set(value) == {"$base64"} else value
