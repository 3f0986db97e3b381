# -*- test-case-name: ugate.test.test_session,ugate.test.test_session_ends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a session hands out: endpoints, both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)

from ugate.stream import StreamInfo, Target

if TYPE_CHECKING:
    from ugate.endpoints.session import Session


class Opening:
    """
    A stream that we ask the peer for.
    """

    __slots__ = ("isLate", "opened")

    def __init__(self, opened: Deferred[Any]) -> None:
        self.opened = opened
        self.isLate = False

    def overdue(self) -> None:
        """
        There was no answer in time.
        """
        self.isLate = True
        self.opened.cancel()


@implementer(IStreamClientEndpoint)
class StreamEndpoint:
    """
    One target behind a link.
    """

    __slots__ = ("_info", "_session")

    def __init__(self, session: Session, info: StreamInfo) -> None:
        self._session = session
        self._info = info

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        return self._session.open(self._info, factory)


@implementer(IStreamServerEndpoint)
class StreamListener:
    """
    Where the streams that the peer opens are listened for.
    """

    __slots__ = ("_accepts", "_session", "_target")

    def __init__(self, session: Session, target: Target | None, accepts: bool) -> None:
        self._session = session
        self._target = target
        self._accepts = accepts

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        port = StreamPort(self._session, self._target, factory, self._accepts)
        try:
            port.startListening()
        except CannotListenError:
            return fail()
        return succeed(port)


@implementer(IListeningPort)
class StreamPort:
    """
    What listens there.
    """

    def __init__(
        self, session: Session, target: Target | None, factory: IProtocolFactory, accepts: bool
    ) -> None:
        self._session = session
        self._target = target
        self.factory = factory
        self.accepts = accepts

    def startListening(self) -> None:
        """
        See L{IListeningPort.startListening}.
        """
        self._session.listen(self._target, self)
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        Streams that are up go on.
        """
        if self._session.unlisten(self._target, self):
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """
        The local address of the link.
        """
        host: IAddress = self._session.link.info.host
        return host
