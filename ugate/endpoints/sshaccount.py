# -*- test-case-name: ugate.test.test_sshhop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
With what we log in at a hop of SSH, and how we know it: the files and the agent that its string names.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from getpass import getuser
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.python.failure import Failure

from ugate.endpoints.hops import Hop
from ugate.endpoints.upstream import loginOf
from ugate.errors import Cause, Phase, ProtocolError, Refused, StringError, UgateError
from ugate.interfaces import ITenant
from ugate.protocols.sshagent import Agent
from ugate.protocols.sshcertificate import SUFFIX, SSHCertificate
from ugate.protocols.sshclientauth import Signer
from ugate.protocols.sshknownhosts import KnownHost, KnownHosts
from ugate.stream import Principal

USUAL: Final = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
"""Where C{ssh} looks for the keys of hosts."""

AGENT: Final = "SSH_AUTH_SOCK"
"""The variable that names the socket of an agent."""

_MAX: Final = 1 << 20


def _refused(hop: Hop, detail: str, step: str) -> Refused:
    return Refused(Cause.AUTHENTICATION, Phase.AUTH, hop.place, detail, step)


def _read(path: str) -> bytes:
    with open(os.path.expanduser(path), "rb") as file:
        data = file.read(_MAX + 1)
    if len(data) > _MAX:
        raise OSError(errno.EFBIG, "over 1 MiB")
    return data


class HostFiles:
    """
    How we know a hop: by files that are read at each connection.

    @since: ugate NEXT
    """

    def __init__(self, hop: Hop, now: Callable[[], float] = time.time) -> None:
        """
        @param now: the time of day.
        @raise Refused: its file cannot be read.
        """
        self._hop = hop
        self._now = now
        self._paths = (hop.known,) if hop.known else USUAL
        lines: list[KnownHost] = []
        for path in self._paths:
            try:
                lines += KnownHosts.fromText(_read(path).decode("utf-8", "replace")).lines
            except OSError as error:
                # What is left out of a file that is too large may be what revokes.
                if hop.known or error.errno == errno.EFBIG:
                    step = "let it have a line for that host, as in known_hosts of OpenSSH"
                    raise _refused(hop, f"known={path}: {error.strerror}", step) from error
        self._known = KnownHosts(lines)

    def algorithms(self) -> tuple[bytes, ...]:
        """
        How it is asked to sign.
        """
        return self._known.algorithms(self._hop.host, self._hop.port)

    def check(self, blob: bytes) -> Principal:
        """
        Who it is, by the key or certificate that it has shown to have.

        @raise Refused: it is not known.
        """
        hop = self._hop
        try:
            self._known.check(hop.host, hop.port, blob, self._now())
        except (StringError, ProtocolError) as error:
            files = " or ".join(self._paths)
            step = f"if that is right, add it: ssh-keyscan -p {hop.port} {hop.host} >> {self._paths[0]}"
            raise _refused(hop, f"{error}, in {files}", step) from error
        return Principal(hop.host, "key")


def signersFrom(path: str) -> list[Signer]:
    """
    A private key in a file, first with the certificate that is beside it, if one is.

    @raise UgateError: it cannot be used, and why.
    @since: ugate NEXT
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    from ugate.protocols.sshclient import signerOf

    where = os.path.expanduser(path)
    try:
        data = _read(where)
        if os.stat(where).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UgateError(f"{path}: others may read or write it; run: chmod 600 {path}")
        load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
        signer = signerOf(path, load(data, None))
    except OSError as error:
        raise UgateError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UgateError(f"{path}: wanted a private key of SSH without a passphrase") from error
    return [*_certified(where, signer), signer]


def _certified(path: str, signer: Signer) -> list[Signer]:
    try:
        blob = b64decode(_read(f"{path}-cert.pub").split()[1], validate=True)
        certificate = SSHCertificate.fromBlob(blob)
    except (OSError, IndexError, Base64Error, ValueError, ProtocolError):
        return []
    if certificate.key != signer.blob:
        return []
    return [Signer(f"{signer.name}-cert.pub", signer.algorithm + SUFFIX, blob, signer.sign)]


def ownSigners(reactor: Any, hop: Hop) -> list[Signer]:
    """
    The keys of a hop: that in its file, or that of our identity.

    @raise Refused: it cannot be used.
    """
    from ugate.protocols.sshclient import signerOf

    if hop.key:
        try:
            return signersFrom(hop.key)
        except UgateError as error:
            raise _refused(
                hop, f"key={error}", "let it hold a key of that hop, for this process alone"
            ) from error
    tenant = ITenant(reactor, None)
    if tenant is None:
        return []
    try:
        identity = tenant.identity
        return [signerOf(f"the key of {identity.keyid}", identity.sshKey())]
    except (UgateError, AttributeError):
        # A program, or a tenant, that has none: there may be a password.
        return []


def userOf(hop: Hop) -> str:
    """
    Who we want to be: as with C{ssh} whoever runs this process, if the hop does not say it.
    """
    if hop.user:
        return hop.user
    try:
        return getuser()
    except (KeyError, OSError):
        return "ugate"


def passwordOf(hop: Hop) -> bytes | None:
    """
    The password of a hop, read now.

    @raise Refused: it cannot be read.
    """
    login = loginOf(hop) if hop.passwordFile or hop.passwordEnv else None
    password: bytes | None = None if login is None else login.password
    return password


def agentFor(reactor: Any, hop: Hop, deadline: float) -> Deferred[Agent | None]:
    """
    A connection to the agent of a hop, if it has one.

    @return: fails with L{Refused}.
    """
    if not hop.agent:
        return succeed(None)
    path = os.environ.get(AGENT, "") if hop.agent == "env" else hop.agent

    def failed(failure: Failure) -> Failure:
        detail = f"agent={hop.agent}: {path or f'{AGENT} names none'}: {failure.getErrorMessage()}"
        return Failure(_refused(hop, detail, "start ssh-agent, and let this process know its socket"))

    endpoint = UNIXClientEndpoint(reactor, path, timeout=deadline)
    connected: Deferred[Any] = connectProtocol(endpoint, Agent())
    return connected.addErrback(failed)
