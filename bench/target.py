# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The processes that streams end at: C{bulk} (a port that swallows and one that pours) and C{echo}.

Run by the bench as C{python -m bench.target KIND METER-FD}; prints its ports as one JSON line and serves
until it is killed.
"""

from __future__ import annotations

import json
import socket
import sys

from bench.loop import Loop, bulkFile, countForever, listen, sendForever
from bench.meter import TARGET_SLOT, Meter

_MESSAGE = 4096


def bulk(loop: Loop, meter: Meter) -> dict[str, int]:
    """
    Serve a port that counts all it is sent, and one that sends without end.

    @param loop: the loop.
    @param meter: counts what arrives, in L{TARGET_SLOT}.
    @return: the ports by name.
    """
    file = bulkFile()

    def ended() -> None:
        """A client that leaves is how each sample ends."""

    return {
        "sink": listen(loop, lambda sock: countForever(loop, sock, meter.counts, TARGET_SLOT, ended)),
        "source": listen(loop, lambda sock: sendForever(loop, sock, file, ended)),
    }


def echo(loop: Loop) -> dict[str, int]:
    """
    Serve a port that answers each message with itself.

    @param loop: the loop.
    @return: the ports by name.
    """

    def accepted(sock: socket.socket) -> None:
        recv, send = sock.recv, sock.sendall

        def answer() -> None:
            try:
                data = recv(_MESSAGE)
                if data:
                    send(data)
                    return
            except (ConnectionResetError, BrokenPipeError):
                pass
            loop.drop(sock)

        loop.add(sock, answer)

    return {"echo": listen(loop, accepted)}


def main(kind: str, fd: int) -> None:
    """
    Serve one kind of target for ever.

    @param kind: C{bulk} or C{echo}.
    @param fd: the descriptor of the shared counters.
    """
    loop = Loop()
    ports = bulk(loop, Meter(fd)) if kind == "bulk" else echo(loop)
    print(json.dumps(ports), flush=True)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
