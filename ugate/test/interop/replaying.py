# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A program that hears announcements and repeats them: C{replaying.py listen FILE ADDRESS} keeps the first one
that comes from that address, C{replaying.py say FILE ADDRESS} sends it to all, a few times, from that
address.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

GROUP: Final = "224.0.0.250"
PORT: Final = 5227
TIMES: Final = 5


def listen(path: Path, address: str) -> None:
    """
    Keep one.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.bind(("", PORT))
        index = socket.if_nametoindex("eth0")
        request = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        print("listening", flush=True)
        while True:
            data, (host, _) = heard.recvfrom(2000)
            if host == address:
                path.write_bytes(data)
                return


def say(path: Path, address: str) -> None:
    """
    Send it.
    """
    data = path.read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as said:
        said.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        index = socket.if_nametoindex("eth0")
        said.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index)
        )
        said.bind((address, 0))
        for _ in range(TIMES):
            said.sendto(data, (GROUP, PORT))
            time.sleep(0.1)


if __name__ == "__main__":
    {"listen": listen, "say": say}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
