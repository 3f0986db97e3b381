# -*- test-case-name: ugate.test.test_capture,ugate.test.interop.test_captured -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{capture}: rules of the kernel that lead connections to a listener of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.structs import replace
from zope.interface import implementer

from twisted.application.service import IService, Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.interfaces import IEgress, IModule, INode, ITenant
from ugate.modules.capturehold import Hold
from ugate.modules.capturesection import BOTH, NAME, OUT, TPROXY, CaptureSection
from ugate.modules.capturesteps import (
    CannotCapture,
    Step,
    down,
    ipv6IsThere,
    isOpen,
    noRoutes,
    take,
    toolFor,
    up,
)
from ugate.stream import ROOT

LOOK: Final = 5.0
"""Seconds between looks whether the rules are still there that go with us, and are still the right ones."""


class Capture(Service):
    """
    One section: some connections that the kernel leads to us.
    """

    log = Logger()

    def __init__(
        self,
        tenant: ITenant,
        name: str,
        section: CaptureSection,
        *,
        do: Callable[[Iterable[Step]], object] = take,
        hold: Callable[..., Hold] = Hold,
        tool: Callable[[CaptureSection], str] = toolFor,
        hasIPv6: Callable[[], bool] = ipv6IsThere,
    ) -> None:
        """
        @param do: takes steps.
        @param hold: makes rules that go with us.
        @param tool: what makes the rules.
        @param hasIPv6: whether this machine has it.
        """
        self.tenant = tenant
        self.section = section
        self.title = f"capture {name}"
        self._name = name
        self._do = do
        self._makeHold = hold
        self._toolFor = tool
        self._hasIPv6 = hasIPv6
        self._hold: Hold | None = None
        self._tool = ""
        self._mark = 0
        self._looking: IDelayedCall | None = None

    def privilegedStartService(self) -> None:
        """
        Make the rules, while we may.

        @raise UgateError: they cannot be, and why.
        """
        self._up()

    def startService(self) -> None:
        """
        The rules are there.

        @raise UgateError: they cannot be, and why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if not self._tool:
            self._up()
        self._look()

    def _look(self) -> None:
        """
        See whether they are still there.
        """
        self._looking = self.tenant.reactor.callLater(LOOK, self._look)
        gone = self._hold is not None and not self._hold.isUp
        if not gone and self._mark == self._wantedMark():
            return
        if gone:
            self.log.error("{title}: its rules are gone, and are made again", title=self.title)
        try:
            self._up()
        except UgateError as error:
            self.log.error("{title}: {error}", title=self.title, error=str(error))

    def _wantedMark(self) -> int:
        mark: int = INode(self.tenant).configs[ROOT].node.mark
        return mark

    def _up(self) -> None:
        section = self.section if self._hasIPv6() else replace(self.section, ipv6=False)
        tool, mark = self._toolFor(section), self._wantedMark()
        self._check(section, mark)
        before = self._hold
        if isOpen(section):
            hold = self._makeHold(self._name, section, mark, tool)
            hold.up()
            self._hold = hold
        else:
            self._do(up(self._name, section, mark, tool))
        if before is not None:
            before.down()
        self._tool, self._mark = tool, mark
        self.log.info(
            "{title}: {direction} by {tool}", title=self.title, direction=section.direction, tool=tool
        )

    def _check(self, section: CaptureSection, mark: int) -> None:
        """
        Whether all would come to nothing, or come back.

        @raise CannotCapture: so it is.
        """
        isOut = section.direction in (OUT, BOTH)
        if isOut and not mark and not section.exclude.hasOwners:
            raise CannotCapture(
                "our own connections would be captured again: node.mark is 0; let it be something else, or "
                "name the user that ugate runs as in exclude.users"
            )
        if not isOut and section.mode != TPROXY:
            # They come to whichever address is that of their interface.
            return
        egress, port = IEgress(self.tenant.reactor), section.port
        for protocol in section.protocols:
            for host, where in (("127.0.0.1", "127.0.0.1"), ("::1", "\\:\\:1")):
                if (host == "::1" and not section.ipv6) or egress.isOwn(host, port, protocol):
                    continue
                without = ", or let ipv6 be false" if host == "::1" else ""
                raise CannotCapture(
                    f"no listener of ours is at {host} with port {port}: add "
                    f"listen: {{captured: '{section.mode}:{protocol}:{port}:interface={where}'}}{without}"
                )

    def stopService(self) -> None:
        """
        Let all be as before; but rules that refuse what nobody takes stay when ugate as a whole stops.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        tool, self._tool = self._tool, ""
        if not tool:
            return
        hold, self._hold = self._hold, None
        node = INode(self.tenant)
        isReplaced = node.modules.get((self.tenant.name, "capture", self._name)) not in (None, self)
        try:
            if hold is not None:
                hold.down()
                if not isReplaced:
                    self._do(noRoutes(self.section))
            elif isReplaced:
                # Those of the other one are in their place.
                return
            elif not node.running:
                self.log.info("{title}: its rules stay; ucli capture down removes them", title=self.title)
            else:
                self._do(down(self._name, self.section, tool))
        except UgateError as error:
            self.log.error(
                "{title}: its rules may still be there: {error}", title=self.title, error=str(error)
            )


@implementer(IModule)
class CaptureModule:
    """
    See L{IModule}.
    """

    name = "capture"
    summary = "connections that the kernel leads to a listener"
    schema = CaptureSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.

        @raise CannotCapture: it cannot have that name, or is not the node's own.
        """
        if tenant.parent is not None:
            raise CannotCapture(
                "the connections of this machine are the root tenant's: put the section there"
            )
        if re.fullmatch(NAME, name) is None:
            raise CannotCapture(f"the name {name!r}: wanted 1 to 12 letters and digits, for the firewall")
        service: IService = Capture(tenant, name, section)
        return service
