# -*- test-case-name: ugate.test.test_caadmin,ugate.test.test_cainturn -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{ca}: a certification authority of a tenant.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from ugate.errors import UgateError
from ugate.interfaces import IModule, IServesHTTP, ITenant
from ugate.modules.capages import AuthorityPages
from ugate.modules.problems import Trouble
from ugate.modules.tries import FailedTries
from ugate.tenancy.ca.authority import Authority
from ugate.tenancy.ca.folder import readAuthority
from ugate.tenancy.ca.inturn import InTurn
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.schema import CaSection
from ugate.tenancy.passwords import inThreadsOf

FRESH: Final = 600.0
"""Seconds between looks at whether the lists in the folder have to be written anew."""


@implementer(IServesHTTP)
class CaService(Service):
    """
    The CA of one section.

    @since: ugate NEXT
    """

    log = Logger()
    isPublic = True

    def __init__(
        self,
        tenant: ITenant,
        section: CaSection,
        now: Callable[[], float] = time.time,
        defer: Callable[[Callable[[], Any]], Deferred[Any]] | None = None,
    ) -> None:
        """
        @param now: the time of day.
        @param defer: what calls something elsewhere; the threads of the tenant's reactor unless given.
        @raise UgateError: there is no CA in its folder.
        """
        self._clock: Any = tenant.reactor
        self._section = section
        self._now = now
        self._defer: Any = inThreadsOf(tenant.reactor) if defer is None else defer
        # What is wrong with the folder is told before anything starts.
        self._rules = Rules(section.rules, readAuthority(section.dir).domain)
        self._pages: AuthorityPages | None = None
        self._timer: IDelayedCall | None = None

    def privilegedStartService(self) -> None:
        """
        Nothing: C{startService} is early enough.
        """

    def startService(self) -> None:
        """
        Open its record.

        @raise UgateError: that cannot be.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if self._pages is None:
            authority = Authority(self._section.dir, self._now, self._section.life)
            inTurn = InTurn(self._clock, self._defer, self._section.dir)
            self._pages = AuthorityPages(authority, self._rules, FailedTries(self._clock.seconds), inTurn)
            self._refresh()

    def _refresh(self) -> None:
        assert self._pages is not None
        self._timer = self._clock.callLater(FRESH, self._refresh)
        written = self._pages.inTurn.do(self._pages.authority.lists.refresh)
        written.addErrback(self._notWritten)

    def _notWritten(self, failure: Failure) -> None:
        failure.trap(UgateError)
        if self._pages is not None:
            self.log.error("ca: the lists of what is revoked are not written: {error}", error=failure.value)

    def stopService(self) -> Deferred[None]:
        """
        Close it, after what is being done.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        pages, self._pages = self._pages, None
        return succeed(None) if pages is None else pages.inTurn.stop(pages.authority.close)

    def resource(self) -> IResource:
        """
        See L{IServesHTTP}.
        """
        if self._pages is None:
            raise Trouble(503, "the CA does not run")
        pages: IResource = self._pages
        return pages


@implementer(IModule)
class CaModule:
    """
    See L{IModule}.
    """

    name = "ca"
    summary = "a certification authority for nodes, and for users and hosts of SSH"
    schema = CaSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = CaService(tenant, section)
        return service
