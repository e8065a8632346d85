"""The operator's AWS calls: reads requests as lines of JSON, answers each with one line. Runs in the venv (boto3).

Started by aws_client.py inside the cloud's namespace and kept for the whole run: importing boto3 and building a client
takes a second, a call then a few milliseconds.

Request:  {"service", "operation", "parameters", "endpoint": url or null, "credentials": [id, secret, token or null]}
          {"post": path, "body": text}                   one POST to moto itself, for its switches
Answer:   {"result": {...}}  or  {"error": {"code", "message"}}
Bytes travel as {"$base64": "..."}, times as ISO 8601 text.
"""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# Answers come from the same machine: what takes longer than this hangs.
_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 2})


def main() -> None:
    moto, region = sys.argv[1], sys.argv[2]
    clients: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": _post(moto, request) if "post" in request else _call(clients, region, request)}
        except ClientError as problem:
            error = problem.response.get("Error", {})
            answer = {"error": {"code": error.get("Code", "Unknown"), "message": error.get("Message", str(problem))}}
        except (BotoCoreError, OSError, http.client.HTTPException, AttributeError) as problem:
            answer = {"error": {"code": type(problem).__name__, "message": str(problem)}}
        print(json.dumps(answer, default=_encode), flush=True)


def _call(clients: dict[str, Any], region: str, request: dict[str, Any]) -> dict[str, Any]:
    key_id, secret, token = request["credentials"]
    which = json.dumps([request["service"], request["endpoint"], key_id, token])
    if which not in clients:
        clients[which] = boto3.client(
            request["service"],
            region_name=region,
            endpoint_url=request["endpoint"],
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=_CONFIG,
        )
    client, operation, parameters = clients[which], request["operation"], _decode(request["parameters"])
    if client.can_paginate(operation):
        return client.get_paginator(operation).paginate(**parameters).build_full_result()
    result = getattr(client, operation)(**parameters)
    result.pop("ResponseMetadata", None)
    return {name: value.read() if hasattr(value, "read") else value for name, value in result.items()}


def _post(moto: str, request: dict[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(moto).netloc, timeout=10)
    try:
        connection.request("POST", request["post"], request["body"].encode(), {"Content-Type": "text/plain"})
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"moto answered {response.status} to POST {request['post']}: {text[:200]}")
    return json.loads(text)


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} in AWS's answer cannot be sent on")


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$base64"}:
            return base64.b64decode(value["$base64"])
        return {name: _decode(inner) for name, inner in value.items()}
    return [_decode(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
