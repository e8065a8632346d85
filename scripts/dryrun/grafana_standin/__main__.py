"""The stand-in's program: reads its settings and files as Grafana does, serves, tells systemd."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from importlib import resources

from . import server, settings
from .stock import Stock


def notify(state: str) -> None:
    """Tells systemd, where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect("\0" + address[1:] if address.startswith("@") else address)
        out.sendall(state.encode())


def main() -> int:
    """Runs until SIGTERM; 1 where Grafana would not start."""
    version = resources.files(__package__).joinpath("VERSION").read_text(encoding="ascii").strip()
    try:
        stock = Stock.load(settings.of_process(version), os.environ)
        http = server.bind(stock)
    except (settings.StartError, OSError) as error:
        print(f"error: grafana (stand-in) does not start: {error}", file=sys.stderr, flush=True)
        return 1
    # shutdown() waits for the loop that this very thread runs: hence a thread of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=http.shutdown).start())
    print(
        f"grafana (stand-in, version {version}) listens on {stock.settings.address}:{http.server_port} with"
        f" {len(stock.data_sources)} data sources and {len(stock.dashboards)} dashboards",
        flush=True,
    )
    notify("READY=1")
    http.serve_forever()
    http.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
