# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A server of SSH made of asyncssh, which opens what its clients ask for.

Run by the bench as C{python -m bench.asyncsshd HOST-KEY CLIENT-KEYS PORT...}; serves until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import asyncssh

from bench.dial import HOST


class Forwarding(asyncssh.SSHServer):  # type: ignore[misc,unused-ignore]
    """
    Who is logged in may go anywhere.
    """

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """
        @return: yes.
        """
        return True


async def serve(key: str, clients: str, ports: Sequence[str]) -> None:
    """
    Listen for ever.

    @param key: the file of the host's key.
    @param clients: the file of those that may log in.
    @param ports: where.
    """
    for port in ports:
        await asyncssh.listen(
            HOST, int(port), server_factory=Forwarding, server_host_keys=[key], authorized_client_keys=clients
        )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], sys.argv[3:]))
