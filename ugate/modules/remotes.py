# -*- test-case-name: ugate.test.test_agent -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{remotes}: modules that are on another node, and how that one is reached.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from zope.interface import implementer

from twisted.application.service import IService, Service

from ugate.errors import StringError
from ugate.interfaces import IModule, ITenant
from ugate.modules.sections import RemoteSection

_SCHEMES: Final = ("http", "https")


class Remote(Service):
    """
    Another node.

    @ivar url: its HTTP port, without a slash at its end.
    @since: ugate NEXT
    """

    def __init__(self, section: RemoteSection) -> None:
        """
        @raise StringError: the URL cannot be, or not with a token.
        """
        url = urlsplit(section.url)
        if url.scheme not in _SCHEMES or not url.hostname or url.query or url.fragment or "@" in url.netloc:
            raise StringError("url: wanted http://HOST:PORT or https://HOST:PORT")
        if section.token is not None and url.scheme == "http" and not _isHere(url.hostname):
            raise StringError("url: a token would be sent for all to read; wanted https://")
        self.url = section.url.rstrip("/")
        self._token = section.token

    def authorization(self) -> bytes | None:
        """
        What to say there to be let in; read anew, as it may have changed.

        @raise UgateError: the token cannot be had.
        """
        return None if self._token is None else b"Bearer " + self._token.read().strip()


def _isHere(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@implementer(IModule)
class RemotesModule:
    """
    See L{IModule}.
    """

    name = "remotes"
    summary = "modules that are on another node"
    schema = RemoteSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = Remote(section)
        return service
