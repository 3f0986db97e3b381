# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The processes that streams end at: C{bulk} (a port that swallows and one that pours), C{echo}, and C{names},
a server of the DNS.

Run by the bench as C{python -m bench.target KIND METER-FD HOST}; prints its ports as one JSON line and serves
until it is killed.
"""

from __future__ import annotations

import json
import socket
import sys

from bench.dns.upstream import answer
from bench.loop import Loop, bulkFile, countForever, listen, sendForever
from bench.meter import TARGET_SLOT, Meter

_MESSAGE = 4096


def bulk(loop: Loop, meter: Meter, host: str) -> dict[str, int]:
    """
    Serve a port that counts all it is sent, and one that sends without end.

    @param loop: the loop.
    @param meter: counts what arrives, in L{TARGET_SLOT}.
    @param host: the address.
    @return: the ports by name.
    """
    file = bulkFile()

    def ended() -> None:
        """A client that leaves is how each sample ends."""

    return {
        "sink": listen(loop, host, lambda sock: countForever(loop, sock, meter.counts, TARGET_SLOT, ended)),
        "source": listen(loop, host, lambda sock: sendForever(loop, sock, file, ended)),
    }


def echo(loop: Loop, meter: Meter, host: str) -> dict[str, int]:
    """
    Serve a port that answers each message with itself.

    @param loop: the loop.
    @param meter: nothing is counted.
    @param host: the address.
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

    return {"echo": listen(loop, host, accepted)}


def names(loop: Loop, meter: Meter, host: str) -> dict[str, int]:
    """
    Serve a port for questions.

    @param loop: the loop.
    @param meter: nothing is counted.
    @param host: the address.
    @return: the port by name.
    """
    serving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    serving.bind((host, 0))

    def asked() -> None:
        question, asker = serving.recvfrom(_MESSAGE)
        serving.sendto(answer(question), asker)

    loop.add(serving, asked)
    return {"names": serving.getsockname()[1]}


_KINDS = {"bulk": bulk, "echo": echo, "names": names}


def main(kind: str, fd: int, host: str) -> None:
    """
    Serve one kind of target for ever.

    @param kind: C{bulk}, C{echo} or C{names}.
    @param fd: the descriptor of the shared counters.
    @param host: the address.
    """
    loop = Loop()
    ports = _KINDS[kind](loop, Meter(fd), host)
    print(json.dumps(ports), flush=True)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
