"""What an HTTP request to S3 is about: bucket, key and action, out of host, path and query. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

_BUCKET_HOST = re.compile(r"(?P<bucket>.+)\.s3(\.[a-z0-9-]+)?\.amazonaws\.com")
_S3_HOST = re.compile(r"s3(\.[a-z0-9-]+)?\.amazonaws\.com")


@dataclass(frozen=True)
class S3Target:
    """What an S3 request is about; `key` is empty for the bucket itself."""

    bucket: str
    key: str


def s3_target(host: str, path: str) -> S3Target | None:
    """The bucket and key that a request names, in either of S3's styles. None if it is not for S3 or for no bucket."""
    plain = unquote(path.split("?", 1)[0]).lstrip("/")
    if match := _BUCKET_HOST.fullmatch(host):
        return S3Target(match["bucket"], plain)
    if _S3_HOST.fullmatch(host) and plain:
        bucket, _, key = plain.partition("/")
        return S3Target(bucket, key)
    return None


def s3_action(method: str, target: S3Target, query: str) -> str:
    """The action that an unsigned request asks for, of those that Cairn's policy can speak of.

    Sub-resources (?acl, ?policy, ?uploads ...) are actions of their own; none of them is ever open to the world here.
    """
    asked = set(parse_qs(query, keep_blank_values=True))
    if asked == {"versionId"} and method in ("GET", "HEAD"):
        return "s3:GetObjectVersion"
    if asked and target.key:
        return f"s3:SubResource({','.join(sorted(asked))})"
    if not target.key:
        return "s3:ListBucket" if method in ("GET", "HEAD") else "s3:ChangeBucket"
    return {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}.get(method, "s3:PutObject")
