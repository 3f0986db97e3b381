# -*- test-case-name: bench.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{python -m bench.dns.upstream PORT}: a server that knows one address for all names.
"""

from __future__ import annotations

import socket
import sys

from bench.dial import HOST

_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"


def answer(question: bytes) -> bytes:
    """
    What it says: the address, for an hour, and nothing of EDNS.
    """
    end = question.index(0, 12) + 5
    return question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:end] + _RECORD


def main() -> None:
    """
    Answer until it is killed.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
        serving.bind((HOST, int(sys.argv[1])))
        while True:
            question, asker = serving.recvfrom(4096)
            serving.sendto(answer(question), asker)


if __name__ == "__main__":
    main()
