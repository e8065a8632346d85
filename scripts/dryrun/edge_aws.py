"""AWS's host names: everything for *.amazonaws.com goes to moto, with S3's unsigned requests judged here.

Signed requests pass through as they are, so that moto can check their signature. Unsigned ones to S3 are what a
machine's apt sends: allowed or refused by the bucket policy, with the facts that only the network knows (which endpoint
the request came through, whether it was encrypted). The stand-in for Grafana's repository is served here as well.
"""

from __future__ import annotations

import http.client
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from dryrun.edge_http import BodyTooLarge, Handler
from dryrun.edge_lookup import Lookup
from dryrun.edge_policy import Decision, PolicyError, Request, evaluate
from dryrun.edge_s3 import S3Target, s3_action, s3_target

COPY_BYTES = 256 * 1024
_ACCESS_DENIED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)
# Headers that concern one connection and not the message.
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


class Front(Handler):
    """One request to AWS or to Grafana's repository. The settings are put on the class by the edge."""

    lookup: Lookup
    moto: str
    grafana_host: str
    grafana_repository: Path | None

    def handle_any(self) -> None:
        """Every method: decides whom the request is for."""
        try:
            body = self.read_body()
        except BodyTooLarge as problem:
            self.close_connection = True
            return self.answer(413, note=str(problem))
        if self.host == self.grafana_host:
            return self._grafana()
        if not self.host.endswith(".amazonaws.com"):
            return self.answer(421, f"{self.host}: not a host of this run\n")
        target = s3_target(self.host, self.path)
        if target is None:
            if not self.server.secure:
                return self.answer(403, "this service is served over https only\n")
            return self._pass_on(body)
        return self._s3(target, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = handle_any

    # --- S3 ---

    def _s3(self, target: S3Target, body: bytes) -> None:
        query = urlsplit(self.path).query
        signed = "Authorization" in self.headers or "X-Amz-Signature=" in query
        try:
            decision, way = self._judge(target, query)
        except PolicyError as problem:
            return self._denied(f"policy of {target.bucket}: {problem}")
        if decision is Decision.DENY:
            return self._denied(f"denied by policy, {way}")
        if signed:
            # Not denied by the bucket; whether the caller may is for moto to say.
            return self._pass_on(body)
        if decision is not Decision.ALLOW:
            return self._denied(f"unsigned, {way}")
        return self._give(target, way)

    def _judge(self, target: S3Target, query: str) -> tuple[Decision, str]:
        endpoint = self.lookup.source_endpoint(self.source)
        context = {"aws:securetransport": str(self.server.secure).lower(), "aws:sourceip": self.source}
        if endpoint is not None:
            # A request through an endpoint has a private source, which is aws:VpcSourceIp and never aws:SourceIp.
            context["aws:sourcevpce"] = endpoint
            context["aws:vpcsourceip"] = context.pop("aws:sourceip")
        policy = self.lookup.bucket_policy(target.bucket)
        way = f"through {endpoint}" if endpoint else "through no endpoint"
        if policy is None:
            return Decision.SILENT, f"{way}, no policy"
        resource = f"arn:aws:s3:::{target.bucket}" + (f"/{target.key}" if target.key else "")
        return evaluate(policy, Request(s3_action(self.command, target, query), resource, context)), way

    def _give(self, target: S3Target, way: str) -> None:
        """Sends an object that anybody may have, read with the edge's own key."""
        wanted: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key}
        version = parse_qs(urlsplit(self.path).query).get("versionId")
        if version:
            wanted["VersionId"] = version[0]
        for header, name in (("Range", "Range"), ("If-None-Match", "IfNoneMatch"), ("If-Match", "IfMatch")):
            if header in self.headers:
                wanted[name] = self.headers[header]
        if "If-Modified-Since" in self.headers:
            wanted["IfModifiedSince"] = self.headers["If-Modified-Since"]
        try:
            found = self.lookup.s3.get_object(**wanted)
        except ClientError as problem:
            status = problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            if status in (403, 404):
                # Without the right to list, S3 does not say whether a key exists.
                return self._denied(f"no such key, {way}")
            return self.answer(status, note=way)
        except BotoCoreError as problem:
            return self.answer(502, note=f"moto: {problem}")
        status = found["ResponseMetadata"]["HTTPStatusCode"]
        self.send_response(status)
        for name, key in (("Content-Type", "ContentType"), ("ETag", "ETag"), ("Content-Range", "ContentRange")):
            if found.get(key):
                self.send_header(name, found[key])
        self.send_header("Accept-Ranges", "bytes")
        modified = found["ResponseMetadata"]["HTTPHeaders"].get("last-modified")
        if modified:
            self.send_header("Last-Modified", modified)
        self.send_header("Content-Length", str(found["ContentLength"]))
        self.answered(status, way)
        self.end_headers()
        if self.command != "HEAD":
            for piece in found["Body"].iter_chunks(COPY_BYTES):
                self.wfile.write(piece)
        found["Body"].close()

    def _denied(self, note: str) -> None:
        self.answer(403, _ACCESS_DENIED, note, Content_Type="application/xml")

    # --- everything else ---

    def _pass_on(self, body: bytes) -> None:
        """Sends the request to moto as it is, and moto's answer back."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        headers.pop("Expect", None)
        if "Content-Length" in headers or body:
            headers["Content-Length"] = str(len(body))
        connection = http.client.HTTPConnection(urlsplit(self.moto).netloc, timeout=120)
        try:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as problem:
            return self.answer(502, f"moto does not answer: {problem}\n", note=f"moto: {problem}")
        finally:
            connection.close()
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None and response.status != 204:
            self.send_header("Content-Length", length)
        self.answered(response.status, self.headers.get("X-Amz-Target", ""))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _grafana(self) -> None:
        """A file of the stand-in repository. It is a tree of files, like any apt repository."""
        root = self.grafana_repository
        if root is None:
            return self.answer(404, f"this run has no repository for {self.grafana_host}\n")
        if self.command not in ("GET", "HEAD"):
            return self.answer(405)
        file = (root / unquote(self.path.split("?", 1)[0]).lstrip("/")).resolve()
        if not file.is_relative_to(root.resolve()) or not file.is_file():
            return self.answer(404)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.answer(200, file.read_bytes(), Content_Type=kind)
