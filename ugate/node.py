# -*- test-case-name: ugate.test.test_node -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The composition root: from a configuration to a running node.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import StandardIOEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.draining import Drain
from ugate.endpoints.dialers import Deny, Retry
from ugate.endpoints.dialing import dialerFromText, dialersFromTexts
from ugate.endpoints.direct import Direct
from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.endpoints.reach import asksForTarget, innermost, onlyLocal, takesLogins, within
from ugate.endpoints.standardio import serveOnce
from ugate.errors import ListenRefused, Refused, StringError
from ugate.flows import Flows
from ugate.gateway import Gateway
from ugate.interfaces import IDialer
from ugate.poll import Poll
from ugate.relay import Relay
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.config.schema import Listener
from ugate.tenancy.config.whole import DENY, DIRECT, Config
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.match import parseMatch
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.routes import Routes, Rule
from ugate.tenancy.tenant import Tenant

OPERATOR: Final = Principal("operator", "local")
"""Who connects to a listener that only this machine reaches."""

ANYONE: Final = Principal("anyone", "open")
"""Who connects to a listener that the config declares open."""

_CANNOT: Final = {
    errno.EADDRINUSE: "stop what listens there (ss -ltnp names it), or take another port",
    errno.EACCES: "take a port above 1023, or let systemd open it (systemd:)",
    errno.EADDRNOTAVAIL: "take an address that this host has (ip address shows them)",
}


def portalFrom(reactor: Any, config: Config) -> Portal | None:
    """
    What checks credentials, if the config names a password file.

    @raise ConfigError: the file cannot be used, and why.
    """
    if config.policy.users is None:
        return None
    from ugate.tenancy.passwords import PasswordFile, portalFor

    portal: Portal = portalFor(PasswordFile(config.policy.users, reactor))
    return portal


def tenantFrom(
    reactor: Any, config: Config, own: OwnListeners, poll: Callable[[], Poll | None] = lambda: None
) -> Tenant:
    """
    The root tenant of a config.

    @param reactor: the real one.
    @param own: where this process listens.
    @param poll: see L{Tenant}.
    @raise StringError: a hop or a route cannot be made; the message says which, and where it is.
    """
    tenant = Tenant(
        reactor,
        KnownPrincipals(),
        portal=portalFrom(reactor, config),
        private=config.policy.private == "allow",
        own=own,
        handshake=config.node.handshake,
        poll=poll,
    )
    try:
        dialers = dialersFromTexts(tenant.hopReactor, _hops(config))
    except StringError as error:
        # It begins with the name.
        name = str(error).partition(":")[0]
        place = config.origins.get(("dial", name))
        raise error if place is None else StringError(f"{place}: dial.{error}") from error
    tenant.hops = {
        name: Retry(reactor, dialer, config.dial[name].retries + 1, timeout=config.dial[name].timeout)
        for name, dialer in dialers.items()
    }
    direct = Direct(tenant.reactor, config.node.connect)
    rules = []
    for number, route in enumerate(config.routes):
        try:
            dialer = _way(tenant, route.via, route.reason, direct)
        except StringError as error:
            place = config.origins.get(("routes", str(number)), f"route {number + 1}")
            raise StringError(f"{place}: routes.via: {error}") from error
        rules += [Rule(parseMatch(match), dialer, ", ".join(route.via)) for match in route.match]
    if not any(rule.match == parseMatch("*") for rule in rules):
        rules.append(Rule(parseMatch("*"), direct, DIRECT, "since no route says otherwise"))
    tenant.dialer = Routes(rules)
    return tenant


def _hops(config: Config) -> dict[str, str]:
    return {name: dial.hops for name, dial in config.dial.items()}


def _way(tenant: Tenant, via: Sequence[str], reason: str, direct: Direct) -> IDialer:
    if DENY in via:
        return Deny(reason) if reason else Deny()
    if via == (DIRECT,):
        return direct
    return dialerFromText(tenant.hopReactor, list(via), {**tenant.hops, DIRECT: direct})


def listenerEndpoint(tenant: Tenant, name: str, listener: Listener) -> IStreamServerEndpoint:
    """
    The endpoint of a listener of the config.

    @raise StringError: its string cannot be read.
    @raise ListenRefused: it would be an open relay, or could never know where to.
    """
    endpoint: IStreamServerEndpoint = serverFromString(tenant.reactor, listener.endpoint)
    if listener.to is None and not asksForTarget(endpoint):
        raise ListenRefused(
            f"listener {name} ({listener.endpoint}) cannot know where a stream wants to go: "
            f"put auto: or socks: in front, or write {name}: {{endpoint: ..., to: HOST:PORT}}"
        )
    if not (onlyLocal(endpoint) or listener.open):
        _checkClosed(tenant, name, listener, endpoint)
    if listener.open:
        _open(endpoint)
    return endpoint


def _checkClosed(tenant: Tenant, name: str, listener: Listener, endpoint: IStreamServerEndpoint) -> None:
    """
    Whether a listener that others reach can tell who they are.

    @raise ListenRefused: not.
    """
    here = f"listener {name} ({listener.endpoint})"
    local = "let it listen on loopback (interface=127.0.0.1)"
    opened = f"or write {name}: {{endpoint: ..., open: true}} if that is what you want"
    if tenant.portal is None:
        raise ListenRefused(
            f"{here} would carry the streams of anybody who reaches it: "
            f"{local}, or name a password file as policy.users, {opened}"
        )
    if not takesLogins(endpoint):
        raise ListenRefused(
            f"{here} could let nobody in, since its protocol has no logins: {local}, {opened}"
        )


def _open(endpoint: IStreamServerEndpoint) -> None:
    """
    Let those pass who have not logged in.
    """
    each: IStreamServerEndpoint | None = endpoint
    while each is not None:
        if isinstance(each, NegotiatedServerEndpoint):
            each.open = True
        each = within(each)


class CannotStart(SystemExit, Exception):
    """
    Ends the process with a sentence for each listener that cannot be: see these.  It is
    an exception like others too, since twistd tells only those to the process that
    waits for the one in the background, and removes its pid file for them.

    @since: ugate NEXT
    """


class Node(Service):
    """
    All listeners of a config, and what carries their streams.

    @ivar ports: what listens, by listener name.
    @ivar stdio: whether standard input and output are a stream, so that nothing
        else may be printed there.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        *,
        started: Callable[[Node], object] = lambda node: None,
        draining: Callable[[Callable[[], None]], object] = lambda cut: None,
        threads: int | None = None,
    ) -> None:
        """
        @param reactor: the real one.
        @param config: checked.
        @param started: called when all listeners are up.
        @param draining: called when a stop has to wait for streams, with what cuts
            them at once.
        @param threads: see L{Relay}.
        """
        self.reactor = reactor
        self.config = config
        self.ports: dict[str, IListeningPort] = {}
        self.stdio = False
        self._started = started
        self._draining = draining
        self._troubles: list[str] = []
        self.own = OwnListeners()
        node = config.node
        self.relay = Relay(reactor, node.idle, threads)
        self.tenant = tenantFrom(reactor, config, self.own, self.relay.pump)
        # A hop may have been given more time than targets have.
        connect = max([node.connect, *(dial.timeout for dial in config.dial.values())])
        self.flows = Flows(
            reactor, self.relay, connect=connect, streams=node.streams, quiet=node.flows == "quiet"
        )

    def privilegedStartService(self) -> None:
        """
        Listen, before twistd gives up its privileges.

        @raise CannotStart: with a sentence for each listener that cannot; then none does.
        """
        for name, listener in self.config.listen.items():
            try:
                endpoint = listenerEndpoint(self.tenant, name, listener)
            except (ListenRefused, StringError) as error:
                self._trouble(str(error))
                continue
            listening = endpoint.listen(self._gateway(name, listener, endpoint))
            listening.addCallbacks(self._listening, self._notListening, (name,), {}, (name,), {})
        if self._troubles:
            for port in self.ports.values():
                port.stopListening()
            self.ports.clear()
            raise CannotStart("\n".join(f"ugate: {trouble}" for trouble in self._troubles))

    def _trouble(self, sentence: str) -> None:
        self._troubles.append(sentence)
        self.log.critical("{sentence}", sentence=sentence)

    def _gateway(self, name: str, listener: Listener, endpoint: IStreamServerEndpoint) -> Gateway:
        own = innermost(endpoint)
        if isinstance(own, StandardIOEndpoint):
            self.stdio = True
            serveOnce(own, self._stdioEnded)
        return Gateway(
            self.tenant,
            self.flows,
            listener=name,
            anonymous=OPERATOR if onlyLocal(endpoint) else ANYONE if listener.open else None,
            to=None if listener.to is None else Target.fromText(listener.to),
        )

    def _listening(self, port: IListeningPort, name: str) -> None:
        if not hasattr(port, "stopListening"):
            # stdio: its one connection is up already.
            return
        self.ports[name] = port
        address = port.getHost()
        if isinstance(address, (IPv4Address, IPv6Address)):
            self.own.add(address.host, address.port)

    def _notListening(self, failure: Failure, name: str) -> None:
        error = failure.value
        number = getattr(error.socketError, "errno", None) if isinstance(error, CannotListenError) else None
        step = f"; {_CANNOT[number]}" if number in _CANNOT else ""
        where = self.config.listen[name].endpoint
        self._trouble(
            f"listener {name} ({where}) cannot listen: {failure.getErrorMessage().rstrip('.')}{step}"
        )

    def startService(self) -> None:
        """
        All is up: say so.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._started(self)

    def _stdioEnded(self) -> None:
        """
        Who was served on our standard input is done.
        """
        # It may have ended before the reactor ran.
        self.reactor.callLater(0, self._stopUnlessListening)

    def _stopUnlessListening(self) -> None:
        if self.running and not self.ports:
            self.reactor.stop()

    def stopService(self) -> Deferred[None]:
        """
        Stop listening, let streams end for C{node.drain} seconds, then cut them.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        ending: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self.ports.values()]
        self.ports.clear()
        self.own.clear()
        drain = Drain(self.reactor, self._left, self.config.node.drain)
        drain.done.addCallback(self._cut)
        ending.append(drain.done)
        drain.begin(lambda: self._draining(drain.cut))
        ended: Deferred[Any] = DeferredList(ending, consumeErrors=True)
        return ended.addCallback(self._ended)

    def _left(self) -> int:
        """
        How many streams have not ended, or have not been read to their end.
        """
        return len(self.flows) + self.relay.closing

    def _cut(self, result: object) -> None:
        self.flows.stop()
        self.relay.stop()

    def _ended(self, results: list[tuple[bool, object]]) -> None:
        for good, result in results:
            if not good and isinstance(result, Failure):
                self.log.failure("while stopping", result)


def explain(tenant: Tenant, target: Target, who: Principal = OPERATOR) -> list[str]:
    """
    Which rule and which hops a stream to a target would take.
    """
    info = StreamInfo(IPv4Address("TCP", "127.0.0.1", 0), IPv4Address("TCP", "127.0.0.1", 0), target, who)
    try:
        tenant.policy.check(info)
    except Refused as refused:
        return [str(refused)]
    return [f"policy: {who} ({who.method}) may", *tenant.dialer.explain(info)]
