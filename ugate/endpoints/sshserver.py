# -*- test-case-name: ugate.test.test_sshserver -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:}, for whoever has C{ssh}: a listener whose connections carry many streams.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from twisted.cred.credentials import ICredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from ugate.endpoints.muxed import HANDSHAKES, MuxedServerEndpoint
from ugate.endpoints.published import Published
from ugate.endpoints.publishedsockets import PublishedSockets
from ugate.endpoints.reach import onlyLocal
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits
from ugate.endpoints.sources import Sources
from ugate.endpoints.sshcommands import Commands
from ugate.endpoints.sshpublishing import Publishing
from ugate.errors import Denied, ListenRefused
from ugate.interfaces import IIdentity, IPrincipal, ITenant
from ugate.protocols.credentials import ALL, ILogin, Login
from ugate.protocols.sshauth import LoginCheck
from ugate.protocols.sshforwards import SSHForwards
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshsession import SSHSession
from ugate.stream import Principal, Target

LIMITS: Final = SessionLimits(idle=None, age=None)
"""A client of others does not connect again by itself: it stays as long as it wants."""


_OPERATOR: Final = Principal("operator", "local")
_ANYONE: Final = Principal("anyone", "open")


class SSHServerEndpoint(MuxedServerEndpoint):
    """
    Listens by another endpoint for clients of SSH.  All have to log in; where nobody has credentials, all may
    come, and are nobody.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        inner: IStreamServerEndpoint,
        deadline: float,
        nist: bool = False,
        penalties: bool = True,
    ) -> None:
        """
        @param reactor: that of a tenant.
        @param inner: how to listen.
        @param deadline: seconds until a client has to be logged in.
        @param nist: whether clients may exchange keys by the curves of NIST.
        @param penalties: whether those have to wait whose logins fail.
        """
        self.nist = nist
        self.penalties = penalties
        self._published = Published(reactor, inner)
        self._sockets = PublishedSockets(reactor)
        super().__init__(
            reactor,
            inner,
            _unmade,
            limits=LIMITS,
            deadline=deadline,
            logins=True,
            joined=_joined,
            stopped=self._stopped,
        )

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        from ugate.protocols.sshtransport import CAUTIOUS, SETTINGS, serverMaker

        tenant = ITenant(self.reactor, None)
        if tenant is None:
            why = "SSH wants a tenant, whose key is that of the host: let twistd ugate listen"
            return fail(ListenRefused(why))
        portal = tenant.portal
        login = None if portal is None else _loginBy(portal)
        prepare = partial(self._prepare, tenant, factory)
        speaks = SETTINGS if self.nist else CAUTIOUS
        make = serverMaker(self.reactor, lambda: _keysOf(tenant.identity), login, prepare, speaks)
        self.maker = Sources(self.reactor, HANDSHAKES, self.deadline, self.penalties).maker(make)
        return super().listen(factory)

    def _stopped(self) -> None:
        self._published.stop()
        self._sockets.stop()

    def _prepare(
        self, tenant: ITenant, served: IProtocolFactory, link: SSHLink, user: str, login: Login | None
    ) -> None:
        """
        What a link is good for.
        """
        info, permits = link.info, ALL
        if login is None:
            info = info.but(principal=_OPERATOR if onlyLocal(self.inner) else _ANYONE)
        else:
            permits = login.permits
        publishing = Publishing(tenant, link, info, permits, self._published, self._sockets, served)
        commands = Commands(tenant, info, permits, publishing.lines)

        def mayOpen(target: Target) -> None:
            if not permits.mayOpen(target.host, target.port):
                step = "use another key, or see permitopen= in the file of keys"
                raise Denied(str(target), "the key is not good for it", step)

        link.mayOpen = mayOpen
        link.forwards = SSHForwards(publishing)
        link.sessions = lambda channel: SSHSession(channel, commands.answer)


def _joined(session: Session) -> None:
    link: Any = session.link
    link.forwards.publisher.begin(session)


def _keysOf(identity: IIdentity) -> Any:
    from ugate.protocols.sshtransport import hostKeys

    return hostKeys(identity.sshKey(), identity.sshCertificate())


def _unmade(info: object) -> Any:
    raise RuntimeError("it does not listen")


def _loginBy(portal: Portal) -> LoginCheck:
    """
    What asks a portal who has which credentials.
    """

    def login(credentials: ICredentials) -> Deferred[Login]:
        loggedIn: Deferred[Any] = portal.login(credentials, None, ILogin, IPrincipal)
        return loggedIn.addCallback(_loginOf)

    return login


def _loginOf(result: Any) -> Login:
    interface, avatar, _ = result
    return avatar if interface is ILogin else Login(avatar)
