"""Questions handed on to a data source, as Grafana's own proxy does it."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

#: Headers that concern one connection, or that are about Grafana's own login.
_NOT_HANDED_ON = {
    "host",
    "connection",
    "authorization",
    "cookie",
    "content-length",
    "accept-encoding",
    "transfer-encoding",
}

#: Seconds that a store may take.
TIMEOUT = 30

#: What Grafana asks a source for its "Save & test", by type: path and query.
HEALTH = {
    "prometheus": "/api/v1/query?query=1%2B1",
    "loki": "/loki/api/v1/query?query=vector(1)%2Bvector(1)",
}


def ask(
    source: dict[str, Any], method: str, path: str, headers: dict[str, str], body: bytes | None
) -> tuple[int, str, bytes]:
    """One request to a source; answers with status, content type and body. 502 when there is no answer."""
    url = urlsplit(str(source.get("url", "")))
    if url.scheme != "http" or not url.hostname:
        return 502, "text/plain", f"data source {source['uid']} has no usable url: {source.get('url')!r}".encode()
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=TIMEOUT)
    kept = {name: value for name, value in headers.items() if name.lower() not in _NOT_HANDED_ON}
    try:
        connection.request(method, url.path.rstrip("/") + path, body, kept)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 502, "text/plain", f"{source['url']}: {error}".encode()
    finally:
        connection.close()
