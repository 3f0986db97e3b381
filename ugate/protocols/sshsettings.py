# -*- test-case-name: ugate.test.test_sshwire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What SSH may speak here, and how much of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ugate.protocols.sshciphers import CIPHERS, MACS
from ugate.protocols.sshsignatures import USERS

WEAK_KEYS = frozenset((b"ssh-rsa", b"ssh-dss"))
"""Algorithms with SHA-1, which are never offered."""

KEX = (b"mlkem768x25519-sha256", b"curve25519-sha256", b"curve25519-sha256@libssh.org")
"""Key exchanges that everybody offers, what we prefer first."""

NIST = (b"ecdh-sha2-nistp256", b"ecdh-sha2-nistp384", b"ecdh-sha2-nistp521")
"""Those that audits have something against, and that are all that peers have who keep to FIPS 140."""


@dataclass(frozen=True, slots=True)
class WireSettings:
    """
    What a transport of SSH offers, and its limits.

    @since: ugate NEXT
    """

    ciphers: tuple[bytes, ...] = CIPHERS
    """Ciphers, what we prefer first. The client's order decides."""

    macs: tuple[bytes, ...] = MACS
    """MACs, for ciphers that have none of their own."""

    kex: tuple[bytes, ...] = KEX + NIST
    """Key exchanges. Those that a side cannot make are not offered."""

    userKeys: tuple[bytes, ...] = USERS
    """Signatures of clients that a server takes, as it tells them."""

    rekeyBytes: int = 1 << 30
    """Bytes, of both directions, after which keys are exchanged anew."""

    rekeyPackets: int = 1 << 31
    """Packets sent after which keys are exchanged anew."""

    rekeyTime: float = 3600.0
    """Seconds after which keys are exchanged anew."""

    exchangeTime: float = 60.0
    """Seconds that an exchange of keys may take, the peer's and whoever looks at the host key."""

    loginTime: float = 120.0
    """Seconds until the login must be over."""

    endTime: float = 5.0
    """Seconds that a peer has to take the last message."""

    queue: int = 16 << 20
    """Bytes that may wait while keys are exchanged."""

    replies: int = 1 << 20
    """Bytes of answers, as to pings, to a peer that does not read."""

    largest: int = (256 << 10) + 4096
    """The largest packet after the login; 35000 bytes before."""

    banner: int = 16384
    """Bytes that a server may say before its version."""

    smallTalk: int = 64
    """Messages without a meaning, as IGNORE and DEBUG, and exchanges of keys, before the login is over."""
