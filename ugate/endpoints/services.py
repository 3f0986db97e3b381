# -*- test-case-name: ugate.test.test_meshnodes,ugate.test.test_meshserve -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a node serves under its own name: only what its config lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.direct import Direct, DirectTo
from ugate.endpoints.refusals import noTarget
from ugate.errors import Denied
from ugate.interfaces import IDialer
from ugate.stream import TCP, UDP, StreamInfo, Target

_FOR: Final = {TCP: "", UDP: " for datagrams"}
_AS: Final = {TCP: "", UDP: "udp:"}


@implementer(IDialer)
class Services:
    """
    The dialer of streams to our own names: by their port, to a place that the config names.

    @since: ugate NEXT
    """

    __slots__ = ("_services",)

    networks = TCP, UDP

    def __init__(self, direct: Direct, services: Mapping[tuple[str, int], tuple[str, Target]]) -> None:
        """
        @param direct: what connects; loopback may be in its reach, since the operator wrote the places.
        @param services: the name and the place of each, by its network and its port.
        """
        self._services = {key: (name, DirectTo(direct, target)) for key, (name, target) in services.items()}

    def _find(self, info: StreamInfo) -> tuple[str, Any]:
        target = info.target
        if target is None:
            raise noTarget(info)
        found = self._services.get((target.network, target.port))
        if found is None:
            shape = f"{{port: {target.port}, to: {_AS[target.network]}HOST:PORT}}"
            raise Denied(
                str(target),
                f"this node serves nothing on port {target.port} of its own name{_FOR[target.network]}",
                f"add it to the section serve, as in {shape}",
            )
        return found

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the place.

        @raise Denied: nothing is served on that port.
        """
        endpoint: IStreamClientEndpoint = self._find(info)[1].endpointFor(info)
        return endpoint

    def explain(self, info: StreamInfo) -> list[str]:
        """
        Which section, and then the way.
        """
        try:
            name, dialer = self._find(info)
        except Denied as denied:
            return [str(denied)]
        return [f"by serve.{name}:", *(f"  {line}" for line in dialer.explain(info))]
