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
    checkMark,
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
        self._key = (tenant.name, "capture", name)
        self._do = do
        self._makeHold = hold
        self._toolFor = tool
        self._hasIPv6 = hasIPv6
        self._hold: Hold | None = None
        self._tool = ""
        self._mark: int | None = None
        self._trouble = ""
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
        trouble = "its rules are gone, and are made again" if gone else ""
        try:
            self._up()
        except UgateError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:
            self.log.error("{title}: {trouble}", title=self.title, trouble=trouble)
        self._trouble = trouble

    def _wantedMark(self) -> int:
        mark: int = IEgress(self.tenant.reactor).mark
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

    @property
    def undoing(self) -> list[Step]:
        """
        What would undo all that it has done.
        """
        return down(self._name, self.section, self._tool) if self._tool else []

    def _check(self, section: CaptureSection, mark: int) -> None:
        """
        Whether all would come to nothing, or come back.

        @raise CannotCapture: so it is.
        """
        for (kind, name), each in INode(self.tenant).configs[ROOT].modules.items():
            isOther = kind == self._key[1] and name != self._name
            if isOther and section.mode == each.mode == TPROXY and each.table == section.table:
                raise CannotCapture(f"capture.{name} has the table {each.table}, too: each needs its own")
        if section.direction not in (OUT, BOTH) and section.mode != TPROXY:
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
        checkMark(section, mark)

    def again(self) -> None:
        """
        Make the rules again: those of somebody else took their place.
        """
        self._mark = None
        if self._looking is not None:
            self._looking.cancel()
        self._look()

    def stopService(self) -> None:
        """
        Let all be as before; but rules that refuse what nobody takes stay when ugate as a whole stops.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        node = INode(self.tenant)
        if node.running and node.modules.get(self._key) is self:
            # A change is taken back: whoever was here before is so again in a moment.
            self.tenant.reactor.callLater(0, self._takenBack)
        else:
            self._end()

    def _takenBack(self) -> None:
        before = INode(self.tenant).modules.get(self._key)
        if isinstance(before, Capture):
            before.again()
        self._end()

    def _end(self) -> None:
        tool, self._tool = self._tool, ""
        if not tool:
            return
        hold, self._hold = self._hold, None
        node = INode(self.tenant)
        others = [each for each in node.modules.values() if isinstance(each, Capture) and each is not self]
        # What others need is there already, be it that they take our place.
        kept = [step for other in others for step in other.undoing]
        try:
            if hold is not None:
                hold.down()
                undoing = noRoutes(self.section)
            elif not node.running:
                self.log.info("{title}: its rules stay; ucli capture down removes them", title=self.title)
                return
            else:
                undoing = down(self._name, self.section, tool)
            self._do([step for step in undoing if step not in kept])
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
