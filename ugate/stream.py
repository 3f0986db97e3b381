# -*- test-case-name: ugate.test.test_stream -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is known of one stream, as values: L{Target}, L{Principal}, L{StreamInfo}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from ugate.errors import StringError
from ugate.interfaces import IStreamInfo

TCP: Final = "tcp"
"""The network of a stream of bytes."""

UDP: Final = "udp"
"""The network of a stream of datagrams."""

UNIX: Final = "unix"
"""The network of a stream of bytes to a UNIX socket of a gateway."""

ROOT: Final = "root"
"""The path of the tenant that is the node itself."""

NO_HINTS: Final[Mapping[str, str]] = MappingProxyType({})

NAME: Final = "name"
"""
The hint with the name that a stream's client says of its server, where the target is an address: routes and
rules that deny look at it, too.  It proves nothing.
"""

_MAX_PORT: Final = 65535
_MAX_HOST: Final = 255
_MAX_PATH: Final = 107
"""What the kernel takes for a UNIX socket."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where a stream wants to go: a name or an address literal, and a port; or a path.

    @since: ugate NEXT
    """

    host: str
    """
    A DNS name as the client wrote it, or an IPv4 or IPv6 literal without brackets.  With L{UNIX}, the path of
    a socket.
    """

    port: int
    """The port, 1 to 65535; 0 with L{UNIX}, so that nothing which means ports means a path."""

    network: str = TCP
    """L{TCP}, L{UDP} for datagrams, or L{UNIX}."""

    def __str__(self) -> str:
        if self.network == UNIX:
            return f"{UNIX}:{self.host}"
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return where if self.network == TCP else f"{self.network}:{where}"

    @classmethod
    def anyFromText(cls, text: str, paths: bool = False) -> Target:
        """
        As L{fromText}, with C{udp:} (or C{tcp:}) in front for the network: what C{str()} gives.  Only for
        what people write: no client says so which network it wants.

        @param paths: whether it may be C{unix:/PATH}, too.
        @raise StringError: if it is not of that shape.
        """
        network, _, rest = text.partition(":")
        if paths and network == UNIX and rest.startswith("/"):
            return cls.atPath(rest)
        if network not in (TCP, UDP) or ":" not in rest:
            return cls.fromText(text)
        plain = cls.fromText(rest)
        return cls(plain.host, plain.port, network)

    @classmethod
    def fromText(cls, text: str, defaultPort: int | None = None) -> Target:
        """
        Read C{host:port}, C{[v6]:port} or, with a default, C{host} alone (RFC 3986, 3.2.2).

        @param text: the text, from a person or from the network.
        @param defaultPort: the port when the text has none.
        @raise StringError: if it is not of that shape; the message says what is wrong.
        """
        host, colon, port = text.rpartition(":")
        if not colon or port.endswith("]"):
            host, colon, port = text, "", ""
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise StringError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:80")
        if not port and defaultPort is not None and not colon:
            return cls.checked(host, defaultPort)
        # int() has a limit of its own, with another error.
        if not (port.isascii() and port.isdigit()) or len(port) > len(str(_MAX_PORT)):
            raise StringError(f"{text!r}: wanted HOST:PORT with a port from 1 to 65535")
        return cls.checked(host, int(port))

    @classmethod
    def checked(cls, host: str, port: int, network: str = TCP) -> Target:
        """
        A target from parts that came from outside.

        @param network: what was asked for; no text of the client's.

        @raise StringError: if the host is empty, over 255 characters or has
            characters that no host name and no address has, or if the port is
            not 1 to 65535.
        """
        if not 0 < port <= _MAX_PORT:
            raise StringError(f"port {port}: wanted 1 to 65535")
        if not host or len(host) > _MAX_HOST:
            raise StringError(f"a host name of {len(host)} characters: wanted 1 to {_MAX_HOST}")
        if not host.isprintable() or any(c in " /\\@?#[]\"'<>%" for c in host):
            raise StringError(f"{host!r}: not a host name or an address")
        return cls(host, port, network)

    @classmethod
    def atPath(cls, path: str) -> Target:
        """
        The UNIX socket at a path that came from outside.  Its characters are such that it needs no quotes in
        a log, a page or a rule.

        @raise StringError: it is not an absolute path in its shortest form, is over 107 bytes, or has
            characters that are special somewhere.
        """
        if len(path.encode(errors="replace")) > _MAX_PATH:
            raise StringError(f"a path of {len(path)} characters: wanted {_MAX_PATH} bytes at most")
        if not path.isprintable() or any(c in " \\*?[]\"'<>" for c in path):
            raise StringError(f"{path!r}: wanted a path without spaces, quotes and the like")
        root, *names = path.split("/")
        if root or not names or any(name in ("", ".", "..") for name in names):
            raise StringError(f"{path!r}: wanted a path from / on, without //, . and ..")
        return cls(path, 0, UNIX)


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who asks, as far as it was proven: by a password, a key, a certificate, or by
    being on this machine.

    @since: ugate NEXT
    """

    name: str
    """A user name, a key's hash or a SPIFFE id."""

    method: str
    """What proved it: C{password}, C{local} ..."""

    tenant: str = ROOT
    """Whose credentials proved it: the path of a tenant."""

    keyid: str = field(default="", compare=False)
    """The hash of the key that proved it, by a certificate; else empty."""

    def __str__(self) -> str:
        return self.name if self.tenant == ROOT else f"{self.name}@{self.tenant}"


@implementer(IStreamInfo, IAddress)
@dataclass(frozen=True, slots=True)
class StreamInfo:
    """
    What is known of one stream.  It is the peer address: C{transport.getPeer()}
    returns it, so it survives any wrapper.

    @since: ugate NEXT
    """

    peer: IAddress
    """Who connected, as the transport or a trusted PROXY header says."""

    host: IAddress
    """The local address that it connected to."""

    target: Target | None = None
    """Where it wants to go, once it has said so."""

    principal: Principal | None = None
    """Who asks, once that is proven."""

    protocol: str = ""
    """What it was recognized as: C{socks5}, C{connect}, C{tls} ..."""

    hints: Mapping[str, str] = field(default_factory=lambda: NO_HINTS, hash=False)
    """What the peer claims and nothing proves: C{sni}, C{alpn}, C{user}, L{NAME} ..."""

    layers: tuple[str, ...] = ()
    """The negotiations that it went through, outermost first."""

    @property
    def claimed(self) -> Target | None:
        """
        What its client calls its target, if that is an address and it calls it by a name.
        """
        target = self.target
        name = None if self.hints is NO_HINTS or target is None else self.hints.get(NAME)
        return None if name is None or target is None else Target(name, target.port, target.network)

    def but(self, **changes: Any) -> StreamInfo:
        """
        The same with some fields changed.
        """
        # As dataclasses.replace() does it, in a third of the time.
        fields: dict[str, Any] = {
            "peer": self.peer,
            "host": self.host,
            "target": self.target,
            "principal": self.principal,
            "protocol": self.protocol,
            "hints": self.hints,
            "layers": self.layers,
        }
        return StreamInfo(**(fields | changes))

    def __str__(self) -> str:
        peer: Any = self.peer
        host = getattr(peer, "host", None)
        where = str(Target(host, peer.port)) if isinstance(host, str) else _inWords(peer)
        if self.target is None:
            return where
        claimed = self.claimed
        name = "" if claimed is None else f" ({claimed.host})"
        return f"{where} -> {self.target}{name}"


def _inWords(peer: IAddress) -> str:
    """
    A peer that has no host and port: one on a UNIX socket, or at standard input.
    """
    if isinstance(peer, UNIXAddress):
        return f"unix:{peer.name.decode(errors='replace')}" if peer.name else "unix"
    kind = type(peer)
    return str(peer) if kind.__repr__ is not object.__repr__ else kind.__name__
