"""The edge: one process in the cloud's namespace that gives moto AWS's face. Runs in the venv.

    python -m dryrun.edge SETTINGS.json

Three listeners: 443 and 80 of the address that AWS's names resolve to (edge_aws.py; 80 exists so that a policy's
aws:SecureTransport has something to refuse), and 80 of 169.254.169.254, the metadata service (edge_imds.py).
Settings: moto, region, key_id, secret, front, imds, certificate, key, log, grafana_host, grafana_repository.
"""

from __future__ import annotations

import json
import signal
import ssl
import sys
import threading
from pathlib import Path
from types import FrameType

from dryrun.edge_aws import Front
from dryrun.edge_http import RequestLog, Server
from dryrun.edge_imds import Imds
from dryrun.edge_lookup import Lookup
from dryrun.edge_tokens import Tokens


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    lookup = Lookup(settings["moto"], settings["region"], settings["key_id"], settings["secret"])
    repository = settings["grafana_repository"]
    Front.lookup, Front.moto = lookup, settings["moto"]
    Front.grafana_host = settings["grafana_host"]
    Front.grafana_repository = Path(repository) if repository else None
    Imds.lookup, Imds.tokens = lookup, Tokens()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(settings["certificate"], settings["key"])
    log = RequestLog(Path(settings["log"]))
    servers = [
        Server((settings["front"], 443), Front, log, tls),
        Server((settings["front"], 80), Front, log),
        Server((settings["imds"], 80), Imds, log),
    ]
    stop = threading.Event()

    def asked_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked_to_stop)
    signal.signal(signal.SIGINT, asked_to_stop)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
