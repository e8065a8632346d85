"""Tries TCP ports, all at once, and prints what each one answered. Run by matrix.py inside a source's namespace.

Reads {"from": address or null, "to": [[address, port], …]}, prints a list of `open` (accepted), `refused` (the machine
answered that nothing listens) and `silent` (nothing came, or only an ICMP error).
"""

from __future__ import annotations

import asyncio
import json
import sys

# Two tries of TCP's own: the second SYN goes out after one second.
SECONDS = 1.6


async def try_port(source: str | None, address: str, port: int) -> str:
    """One connection."""
    local = (source, 0) if source else None
    try:
        opening = asyncio.open_connection(address, port, local_addr=local)
        _, writer = await asyncio.wait_for(opening, SECONDS)
    except ConnectionRefusedError:
        return "refused"
    except (TimeoutError, asyncio.TimeoutError, OSError):
        return "silent"
    writer.close()
    return "open"


async def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    answers = await asyncio.gather(*(try_port(request["from"], address, port) for address, port in request["to"]))
    print(json.dumps(answers))


if __name__ == "__main__":
    asyncio.run(main())
