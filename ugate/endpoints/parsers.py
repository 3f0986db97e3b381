# -*- test-case-name: ugate.test.test_parsers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What makes our strings known to C{serverFromString} and C{clientFromString}, in
every Twisted program: the instances are in C{twisted/plugins/ugate_plugin.py}.

Such programs load this for any string, so it imports what it needs when it is
used.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin

from ugate.endpoints.quoting import join
from ugate.errors import StringError


def innerServer(reactor: Any, prefix: str, text: str, known: frozenset[str]) -> IStreamServerEndpoint:
    """
    The listener that the rest of a server string means.

    @param prefix: what stood before the rest.
    @param known: the keywords that the prefix takes, for the error.
    @raise StringError: Twisted, or the parser of another prefix, cannot read it.
    """
    if not text:
        raise StringError(f"{prefix}: on what? write {prefix}:tcp:PORT or {prefix}:unix:PATH")
    from ugate.endpoints.plain import mistakeIn, whyNot

    own = f"{prefix} itself takes {', '.join(f'{name}=' for name in sorted(known))}"
    wrong = mistakeIn(text, known)
    if wrong:
        raise StringError(f"{prefix}:{text}: {wrong}; {own}")
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except StringError:
        raise
    except Exception as e:
        # What Twisted's parsers raise for a bad string is of many types.
        raise StringError(f"{prefix}:{text}: cannot read {text!r}: {whyNot(text, e)}; {own}") from e
    return endpoint


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ServerParser:
    """
    The parser of C{PREFIX:} and the rest, a listener of its own.

    @since: ugate NEXT
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: one of C{ugate.endpoints.servers.SERVERS}.
        """
        self.prefix = prefix

    # Positional only: a string may have keywords of these names.
    def parseStreamServer(  # type: ignore[override]
        self, reactor: Any, /, *args: Any, **kwargs: Any
    ) -> IStreamServerEndpoint:
        """
        The endpoint.

        @raise StringError: the string cannot be read.
        """
        from ugate.endpoints.servers import SERVERS

        kind = SERVERS[self.prefix]
        # The time for a handshake holds for each of the negotiations in a string.
        shared = {"handshake"} if args and args[0] in SERVERS else set()
        rest = {name: value for name, value in kwargs.items() if name not in kind.keywords - shared}
        inner = innerServer(reactor, self.prefix, join(args, rest), kind.keywords)
        try:
            return kind.build(reactor, inner, {name: kwargs[name] for name in kind.keywords & kwargs.keys()})
        except StringError as e:
            raise StringError(f"{self.prefix}: {e}") from e


class TproxyParser(ServerParser):
    """
    The parser of C{tproxy:} and the rest, which may be C{udp:PORT}.

    @since: ugate NEXT
    """

    def parseStreamServer(self, reactor: Any, /, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """
        The endpoint.

        @raise StringError: the string cannot be read.
        """
        if args[:1] != ("udp",):
            return super().parseStreamServer(reactor, *args, **kwargs)
        from ugate.endpoints.capturedstring import datagramsFromParts

        return datagramsFromParts(reactor, [str(arg) for arg in args[1:]], kwargs)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class LastParser:
    """
    The parser of what listens by itself, and on no other endpoint: C{behind:HOST:PORT}, C{linked:HOST:PORT}
    and C{remoteforward:HOST:PORT} at a gate, C{udp:PORT} for datagrams, C{tun:DEVICE} for what goes through a
    network interface.

    @since: ugate NEXT
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: which of them.
        """
        self.prefix = prefix

    # Positional only: a string may have keywords of these names.
    def parseStreamServer(  # type: ignore[override]
        self, reactor: Any, /, *args: Any, **kwargs: Any
    ) -> IStreamServerEndpoint:
        """
        The endpoint.

        @raise StringError: the string cannot be read.
        """
        parts = [str(arg) for arg in args]
        if self.prefix == "udp":
            from ugate.endpoints.udpstring import udpFromParts

            return udpFromParts(reactor, parts, kwargs)
        if self.prefix == "tun":
            from ugate.endpoints.tunstring import tunFromParts

            return tunFromParts(reactor, parts, kwargs)
        if self.prefix == "behind":
            from ugate.endpoints.behindstring import behindFromParts

            return behindFromParts(reactor, parts, kwargs)
        if self.prefix == "remoteforward":
            from ugate.endpoints.sshstring import remoteForwardFromParts

            return remoteForwardFromParts(reactor, parts, kwargs)
        from ugate.endpoints.reversestring import linkedFromParts

        return linkedFromParts(reactor, parts, kwargs)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class MeshParser:
    """
    The parser of C{mesh:HOST:PORT}.

    @since: ugate NEXT
    """

    prefix = "mesh"

    # Positional only: a string may have keywords of these names.
    def parseStreamClient(  # type: ignore[override]
        self, reactor: Any, /, *args: object, **kwargs: object
    ) -> IStreamClientEndpoint:
        """
        The endpoint.

        @raise StringError: the string cannot be read.
        """
        from ugate.endpoints.meshstring import meshFromParts

        return meshFromParts(
            reactor, [str(arg) for arg in args], {name: str(v) for name, v in kwargs.items()}
        )


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class HopParser:
    """
    The parser of a hop with C{to=}, or of a chain that begins with one.

    @since: ugate NEXT
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: one of C{ugate.endpoints.hops.KINDS}.
        """
        self.prefix = prefix

    # Positional only: a string may have keywords of these names.
    def parseStreamClient(  # type: ignore[override]
        self, reactor: Any, /, *args: object, **kwargs: object
    ) -> IStreamClientEndpoint:
        """
        The endpoint.

        @raise StringError: the string cannot be read, or does not say where to.
        """
        from ugate.endpoints.clients import clientFromParts

        return clientFromParts(
            reactor, self.prefix, [str(arg) for arg in args], {name: str(v) for name, v in kwargs.items()}
        )
