# -*- test-case-name: ugate.test.test_sshserver -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} in strings: what it needs is imported when there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.errors import StringError

LOGIN: Final = 60.0
"""Seconds until a client has to be logged in, unless C{handshake=} says otherwise: people type passwords."""


def sshServer(reactor: Any, inner: IStreamServerEndpoint, own: Mapping[str, str]) -> IStreamServerEndpoint:
    """
    SSH: many streams on each connection.
    """
    from ugate.endpoints.servers import _seconds
    from ugate.endpoints.sshserver import SSHServerEndpoint

    nist = own.get("nist", "no")
    if nist not in ("no", "yes"):
        raise StringError(f"nist={nist}: wanted yes or no")
    return SSHServerEndpoint(reactor, inner, _seconds("handshake", own, LOGIN), nist == "yes")
