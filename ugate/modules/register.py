# -*- test-case-name: ugate.test.test_registrar -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{register}: tells a gate again and again how we are reached.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from zope.interface import implementer

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse

from ugate.bodies import Whole
from ugate.errors import StringError, UgateError
from ugate.interfaces import IModule, ITenant, MeshAddress
from ugate.modules.agent import ModuleAgent
from ugate.modules.sections import RegisterSection
from ugate.tenancy.noderecords import sign
from ugate.tenancy.nodes import addressFromText

FIRST: Final = 1.0
"""Seconds after which we begin: what another section of that name takes back at a reload comes before."""

PAUSE: Final = 5.0
"""Seconds after which it is tried again when it failed; twice as many each time, up to C{every}."""

DEADLINE: Final = 15.0
"""Seconds that a gate has to answer."""

FAREWELL: Final = 2.0
"""Seconds that it has when we stop."""

_LIVES: Final = 3
"""For how many times C{every} a record is good."""

_MOST: Final = 2000
"""Bytes of an answer that are read."""


def ownAddress(text: str) -> MeshAddress:
    """
    An address of our own; without a host, as in C{connect::15008}, it is where the gate sees us.

    @raise StringError: it cannot be read.
    """
    transport, colon, port = text.partition("::")
    if colon and ":" not in transport:
        address = addressFromText(f"{transport}:x:{port}")
        return MeshAddress(address.transport, "", address.port)
    return addressFromText(text)


class _Said(Protocol):
    """
    The beginning of an answer.
    """

    def __init__(self) -> None:
        self.data = b""
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data[: _MOST - len(self.data)]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(self.data)


class Registering(Service):
    """
    Keeps us registered at one gate.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        tenant: Any,
        name: str,
        section: RegisterSection,
        agent: Any = None,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param name: that of the gate: of its section C{registrar}, and of ours in C{remotes}.
        @param agent: who asks it.
        @param now: the time of day.
        @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
        @raise StringError: an address cannot be read.
        """
        self._tenant = tenant
        self._uri = f"module://registrar/{name}/".encode()
        self._name = name
        self._section = section
        self._addresses = tuple(map(ownAddress, section.addresses))
        self._agent = ModuleAgent(tenant) if agent is None else agent
        self._now = now
        self._jitter = jitter
        self._sequence = 0
        self._pause = PAUSE
        self._timer: Any = None
        self._asking: Deferred[None] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._wasGood: bool | None = None

    def startService(self) -> None:
        """
        Register, and do so again and again.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._timer = self._tenant.reactor.callLater(FIRST, self._ask)

    def stopService(self) -> Deferred[None]:
        """
        Take it back, if the gate listens.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._asking is not None:
            self._asking.cancel()
        if not self._wasGood:
            return succeed(None)
        return self._tell(0, FAREWELL).addErrback(lambda failure: None)

    def _ask(self) -> None:
        self._timer = None
        lifetime = round(self._section.every * _LIVES)
        self._asking = self._tell(lifetime, DEADLINE)
        self._asking.addCallbacks(self._good, self._bad)

    def _tell(self, lifetime: int, deadline: float) -> Deferred[None]:
        """
        Send a record.

        @return: fails with what is wrong.
        """
        asked: Deferred[None] = Deferred.fromCoroutine(self._sent(lifetime))
        return asked.addTimeout(deadline, self._tenant.reactor)

    async def _sent(self, lifetime: int) -> None:
        identity = self._tenant.identity
        if self._unwatch is None and self.running:
            self._unwatch = identity.changed(self._changed)
        self._sequence += 1
        data = sign(
            identity,
            self._addresses,
            issued=self._now(),
            lifetime=lifetime,
            sequence=self._sequence,
            names=[each.lower() for each in self._section.names],
        )
        response: IResponse = await self._agent.request(b"PUT", self._uri, None, Whole(data))
        said = _Said()
        response.deliverBody(said)
        text = await said.done
        if response.code != 204:
            raise UgateError(f"it says {response.code}: {_detail(text)}")

    def _changed(self) -> None:
        """
        Our key is another one: say so soon.
        """
        if self._timer is not None and self._timer.active():
            self._timer.reset(0)

    def _good(self, result: None) -> None:
        self._asking = None
        if not self._wasGood:
            self.log.info("register {name}: the gate knows how we are reached", name=self._name)
        self._wasGood = True
        self._pause = PAUSE
        self._wait(self._section.every)

    def _bad(self, failure: Failure) -> None:
        self._asking = None
        if not self.running and failure.check(CancelledError):
            return
        if self._wasGood is not False:
            error = failure.getErrorMessage() or type(failure.value).__name__
            self.log.warn("register {name}: {error}; it is tried again", name=self._name, error=error)
        self._wasGood = False
        self._wait(self._pause)
        self._pause = min(2 * self._pause, self._section.every)

    def _wait(self, seconds: float) -> None:
        if self.running:
            pause = seconds * (1 + self._jitter()) / 2
            self._timer = self._tenant.reactor.callLater(pause, self._ask)


def _detail(text: bytes) -> str:
    """
    What a gate says is wrong.
    """
    try:
        found = msgspec.json.decode(text)["detail"]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return "nothing that we understand"
    return "".join(each for each in str(found)[:300] if each.isprintable())


@implementer(IModule)
class RegisterModule:
    """
    See L{IModule}.
    """

    name = "register"
    summary = "tells a gate how this node is reached"
    schema = RegisterSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        try:
            service: IService = Registering(tenant, name, section)
        except StringError as error:
            raise StringError(f"addresses: {error}") from error
        return service
