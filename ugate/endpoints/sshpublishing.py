# -*- test-case-name: ugate.test.test_sshpublishing,ugate.test.test_sshpublishing_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What one client of C{ssh:} may publish: what the config gives to its user, as far as its key is good for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.forwarded import Forward, wrongWith
from ugate.endpoints.forwards import Forwards
from ugate.endpoints.meshtransports import forwardsOf
from ugate.endpoints.published import Published
from ugate.endpoints.publishedsockets import PublishedSockets
from ugate.endpoints.session import Session
from ugate.errors import Cause, Denied, Phase, Refused, StringError
from ugate.interfaces import ITenant, MeshNode
from ugate.protocols.credentials import Permits
from ugate.protocols.sshlink import SSHLink
from ugate.stream import ROOT, UNIX, Principal, StreamInfo, Target

_HERE: Final = ("", "*", "localhost", "0.0.0.0", "127.0.0.1", "::", "::1")
"""What clients say who name no host: that they mean the server itself."""

_GATE: Final = "localhost"
"""What C{permitlisten} calls that."""


class Publishing:
    """
    One client: see L{ugate.protocols.sshforwards.Publisher}.

    @ivar session: its connection, once that is up.
    @since: ugate NEXT
    """

    log = Logger()
    session: Session | None = None
    # Of the tenant that there was: it may be gone, or another one since.
    _forwards: Forwards | None = None
    _keyid = ""

    def __init__(
        self,
        tenant: ITenant,
        link: SSHLink,
        info: StreamInfo,
        permits: Permits,
        published: Published,
        sockets: PublishedSockets,
        factory: IProtocolFactory,
    ) -> None:
        """
        @param tenant: that of the listener.
        @param link: its connection, before that is up.
        @param info: what is known of the client; it has a principal.
        @param permits: what its credentials are good for.
        @param published: the ports that users have at the listener.
        @param sockets: their UNIX sockets there.
        @param factory: what the streams that come by these are for.
        """
        self._tenant = tenant
        self._link = link
        self._info = info
        self._permits = permits
        self._published = published
        self._sockets = sockets
        self._factory = factory

    def begin(self, session: Session) -> None:
        """
        The connection is up.
        """
        self.session = session

    def publish(self, host: str, port: int) -> Deferred[Target]:
        """
        See L{ugate.protocols.sshforwards.Publisher.publish}.
        """
        what = f"{host or _GATE}:{port}"
        return Deferred.fromCoroutine(self._publish(host, port)).addErrback(self._refused, what)

    def publishAt(self, path: Target) -> Deferred[Target]:
        """
        See L{ugate.protocols.sshforwards.Publisher.publishAt}.
        """
        publishing = self._publish(path.host, path.port, isPath=True)
        return Deferred.fromCoroutine(publishing).addErrback(self._refused, str(path))

    def _refused(self, failure: Failure, what: str) -> Failure:
        """
        Requests are refused without words, so that the client says why only if it is asked to say all.
        """
        if isinstance(failure.value, Refused):
            who, why = str(self._info.principal), str(failure.value)
            self.log.info("{who} may not publish {what}: {why}", who=who, what=what, why=why)
            self._link.tell(f"{what} is not published: {why}")
        return failure

    def _owner(self) -> tuple[Any, MeshNode, Principal]:
        """
        Whose rules hold, what they give the user, and who that is.
        """
        principal = self._info.principal
        assert principal is not None
        owner: Any = self._tenant.tenantFor(self._info)
        return owner, owner.nodes.user(principal), principal

    async def _publish(self, host: str, port: int, isPath: bool = False) -> Target:
        session = self.session
        if session is None or session.isClosing:
            raise Refused(Cause.OVERLOADED, Phase.NEGOTIATE, host, "the connection is not up, or is ending")
        owner, node, principal = self._owner()
        asked = _GATE if host in _HERE else host
        if not self._permits.mayListen(asked, port):
            step = "use another key, or see permitlisten= in the file of keys"
            raise Denied(f"{asked}:{port}", "the key is not good for it", step)
        forwards = forwardsOf(owner)
        if isPath:
            at = Target(host, port, UNIX)
            forward = Forward(session, at, principal, False, self._sockets, self._gone)
        else:
            forward = self._forward(session, node, principal, host, port, forwards)
        wrong = wrongWith(node, forward.at, forward.listener is not None)
        if not wrong and forward.at.host in _ownNames(owner) and forward.at.host not in node.hosts:
            # A suffix, or a user who is called like us, does not mean ourselves.
            wrong = f"{forward.at.host}, which is a name of our own,"
        if wrong:
            raise Denied(str(forward.at), f"{wrong} is not given to {principal}", _step(principal))
        forwards.publish(node, forward)
        if forwards is not self._forwards:
            self._forwards, self._keyid = forwards, node.keyid
            session.whenClosed().addCallback(lambda _: forwards.leave(node.keyid, session))
        if forward.listener is not None:
            await self._open(owner, node, forward, forwards)
        self.log.info("{who} publishes {at}", who=str(principal), at=str(forward.at))
        return forward.at

    def _forward(
        self,
        session: Session,
        node: MeshNode,
        principal: Principal,
        host: str,
        port: int,
        forwards: Forwards,
    ) -> Forward:
        isBare = host in _HERE
        isPort = isBare and port in node.ports
        name = host.lower().removesuffix(".")
        if isBare:
            if not (node.names or isPort):
                step = f"ask for a name: ssh -R NAME:PORT:...; {_step(principal)}"
                raise Denied(f"{_GATE}:{port}", f"{principal} has no name to be reached by", step)
            name = next(iter(node.names), node.keyid.lower())
        try:
            at = Target.checked(name, port or forwards.free(node.keyid, name))
        except StringError as error:
            raise Denied(f"{name}:{port}", str(error)) from error
        isJump = not isPort and (isBare or not port)
        listener = self._published if isPort else None
        return Forward(session, at, principal, isJump, listener, self._gone)

    async def _open(self, owner: Any, node: MeshNode, forward: Forward, forwards: Forwards) -> None:
        """
        Listen on a port, or at a path.

        @raise Refused: that cannot be.
        """
        listener, at = forward.listener, forward.at
        assert listener is not None
        try:
            if owner is not self._tenant:
                step = f"come to a listener of the tenant {owner.name}"
                raise Denied(str(at), "ports are for users of the tenant whose listener it is", step)
            if at.network == UNIX and owner.name != ROOT:
                raise Denied(str(at), "files of this machine are for no tenant but root", "ask for a port")
            await listener.add(node.keyid, at, self._factory)
            if forward not in forwards.ofUser(node.keyid):
                listener.release(node.keyid, at)
        except Refused:
            forwards.withdraw(node.keyid, forward.session, at)
            raise

    def _gone(self, at: Target) -> None:
        if self._link.forwards is not None:
            self._link.forwards.gone(at)

    def withdraw(self, at: Target) -> None:
        """
        See L{ugate.protocols.sshforwards.Publisher.withdraw}.
        """
        assert self.session is not None and self._forwards is not None
        self._forwards.withdraw(self._keyid, self.session, at)
        self.log.info("{who} publishes {at} no more", who=str(self._info.principal), at=str(at))

    def lines(self) -> Iterator[str]:
        """
        What is published, and what else may be, for the user.
        """
        owner, node, _ = self._owner()
        there = dict.fromkeys(str(each.at) for each in forwardsOf(owner).ofUser(node.keyid))
        if there:
            yield f"You publish {', '.join(there)}."
        if node.names:
            own = node.names[0]
            yield f"With ssh -R 0:localhost:22 you are reached as {own}: ssh -J GATE {own}."
        may = [*node.hosts, *(f"port {port}" for port in node.ports)]
        may += (f"UNIX sockets in {folder}" for folder in node.sockets)
        if may:
            yield f"You may publish {', '.join(may)}."


def _ownNames(owner: Any) -> set[str]:
    return {name.lower() for name in owner.identity.names}


def _step(principal: Principal) -> str:
    who = f"{principal.method}:{principal.name}"
    return f'let hosts, ports or sockets of a section of nodes with who: "{who}" have it'
