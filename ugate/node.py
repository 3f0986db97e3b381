# -*- test-case-name: ugate.test.test_node -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The composition root: from a configuration to a running node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zope.interface import implementer

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.draining import Drain, Parting
from ugate.errors import Refused
from ugate.explaining import explain
from ugate.flows import Flows
from ugate.interfaces import IConfigStore, IModule, INode, ITenant
from ugate.journal import Journal
from ugate.listeners import ANYONE, OPERATOR, Listeners, ListenerState, Listening, fullName, listenerEndpoint
from ugate.relay import Relay
from ugate.reload import Outcome, Read, Reloading, closes
from ugate.services import Key, Services
from ugate.storewatch import StoreWatch
from ugate.tenancy.config.kinds import kindsOf
from ugate.tenancy.config.sections import ROOT, isWithin
from ugate.tenancy.config.whole import Config
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.limits import USED_UP
from ugate.tenancy.listening import Sockets
from ugate.tenancy.tenant import Around, Tenant
from ugate.tenancy.usage import Usage, UsageFile
from ugate.tenants import tenantFrom, tenantsFrom

__all__ = [
    "ANYONE",
    "OPERATOR",
    "CannotStart",
    "Node",
    "explain",
    "listenerEndpoint",
    "tenantFrom",
    "tenantsFrom",
]


class CannotStart(SystemExit, Exception):
    """
    Ends the process with a sentence for each listener that cannot be: see these.  It is
    an exception like others too, since twistd tells only those to the process that
    waits for the one in the background, and removes its pid file for them.

    @since: ugate NEXT
    """


def _same(before: Mapping[str, Config], changed: frozenset[str] | None) -> Mapping[str, Config]:
    """
    What a node reads that has no store.
    """
    return before


@implementer(INode)
class Node(MultiService):
    """
    All tenants of a configuration with their listeners, and what carries their streams.

    @ivar configs: what each tenant is configured to do, by its path.
    @ivar stdio: whether standard input and output are a stream, so that nothing
        else may be printed there.
    @ivar kinds: the kinds of sections that there are.
    @ivar started: when it was, in seconds since 1970.
    @ivar reloading: what applies other configurations, and counts that.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config | Mapping[str, Config],
        *,
        started: Callable[[Node], object] = lambda node: None,
        draining: Callable[[Callable[[], None]], object] = lambda cut: None,
        threads: int | None = None,
        read: Read = _same,
        store: IConfigStore | None = None,
        modules: Iterable[IModule] = (),
        own: OwnListeners | None = None,
        usage: Usage | None = None,
    ) -> None:
        """
        @param reactor: the real one.
        @param config: checked; of all tenants by path, parents before children, or of the root alone.
        @param started: called when all listeners are up.
        @param draining: called when a stop has to wait for streams, with what cuts
            them at once.
        @param threads: see L{Relay}.
        @param read: reads the configuration again.
        @param store: where it is read from; what it says has changed is read again.
        @param modules: what sections of other kinds may ask for.
        @param own: is told where this node listens.
        @param usage: keeps what tenants have used in a month.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        configs = {ROOT: config} if isinstance(config, Config) else config
        node = configs[ROOT].node
        self.reactor = reactor
        self.store = store
        self.started = time.time()
        self._started = started
        self._draining = draining
        self.own = (OwnListeners() if own is None else own).markWith(node.mark)
        self.relay = Relay(reactor, node.idle, threads, node.datagrams)
        self.flows = Flows(
            reactor, self.relay, connect=_longest(configs), streams=node.streams, quiet=node.flows == "quiet"
        )
        sockets = Sockets(self.own)
        around = Around(reactor, self.own, self.relay.pump, sockets, self)
        self._usage = usage
        if isinstance(usage, UsageFile):
            usage.start()
        self._tenants = tenantsFrom(around, configs, usage, self._usedUp)
        self._listeners = Listeners(self.flows, sockets, self._stdioEnded)
        self.kinds = kindsOf(modules := list(modules))
        self._services = Services(self, {module.name: module for module in modules}, sockets, reactor)
        self.reloading = Reloading(
            reactor,
            self._tenants,
            self._listeners,
            self._services,
            sockets,
            read=read,
            applied=self._applied,
        )
        self._watch = StoreWatch(reactor, store, self.reloading.reload)
        self._enrolments: Any = None
        self._stopped: list[Deferred[None]] = []

    @property
    def configs(self) -> Mapping[str, Config]:
        """
        What each tenant is configured to do.
        """
        return self._tenants.configs

    @property
    def config(self) -> Config:
        """
        What the node itself is configured to do.
        """
        return self.configs[ROOT]

    @property
    def tenant(self) -> Tenant:
        """
        The root tenant.
        """
        return self._tenants.root

    @property
    def tenants(self) -> Mapping[str, ITenant]:
        """
        See L{INode}.
        """
        return self._tenants.tenants

    @property
    def modules(self) -> Mapping[tuple[str, str, str], IService]:
        """
        See L{INode}.
        """
        return self._services.all

    @property
    def last(self) -> Outcome:
        """
        See L{INode}.
        """
        return self.reloading.last

    @property
    def stdio(self) -> bool:
        """
        Whether standard input and output are a stream.
        """
        return self._listeners.stdio

    @property
    def ports(self) -> dict[str, IListeningPort]:
        """
        What listens, by the name of the listener, with the path of its tenant in front if
        that is not the root.
        """
        return {
            fullName(key): listening.held
            for key, listening in self._listeners.all.items()
            if listening.held is not None
        }

    def listeners(self) -> list[ListenerState]:
        """
        See L{INode}.
        """
        return self._listeners.states()

    def privilegedStartService(self) -> None:
        """
        Listen, before twistd gives up its privileges.

        @raise CannotStart: with a sentence for each listener that cannot; then none does.
        """
        listenings, services, sections, troubles = self._made()
        troubles += self._listeners.listen(listenings, Journal())
        troubles += self._services.start(services, sections, Journal())
        troubles += self._services.privileged()
        self._check(troubles)

    def mistakes(self) -> list[str]:
        """
        What no single section shows: listeners that may not start, and modules that
        cannot be made; a sentence each.  Nothing is opened.
        """
        return self._made()[3]

    def _made(self) -> tuple[list[Listening], list[tuple[Key, IService]], Mapping[Key, Any], list[str]]:
        configs, tenants = self.configs, self.tenants
        make, _ = self._listeners.plan(configs, tenants, configs)
        made = list(self._listeners.check(make, configs, tenants))
        run, _ = self._services.plan(configs, configs)
        services = list(self._services.check(run, configs, tenants))
        return (
            [each for each in made if isinstance(each, Listening)],
            [each for each in services if not isinstance(each, str)],
            run,
            [each for each in (*made, *services) if isinstance(each, str)],
        )

    def _check(self, troubles: list[str]) -> None:
        if troubles:
            for sentence in troubles:
                self.log.critical("{sentence}", sentence=sentence)
            self._listeners.stop(list(self._listeners.all.values()))
            raise CannotStart("\n".join(f"ugate: {trouble}" for trouble in troubles))

    def startService(self) -> None:
        """
        All is up: say so.
        """
        self.running = True
        self._check(self._services.run())
        self._listeners.settle()
        self._watch.start()
        self._enrol()
        self._started(self)

    def _enrol(self) -> None:
        """
        Let those whom a CA certifies ask for that.
        """
        if self._enrolments is None:
            if all(config.identity.ca is None for config in self.configs.values()):
                return
            from ugate.enrolment import Enrolments

            self._enrolments = Enrolments(self.reactor)
        self._enrolments.apply({path: each.identity for path, each in self.configs.items()}, self.tenants)

    def reload(self, trigger: str, tenants: frozenset[str] | None = None) -> Deferred[Outcome]:
        """
        See L{INode}.

        @param tenants: the paths of those that changed; L{None} if that is not known: then
            the store looks for it, if it can.
        """
        if tenants is None and self._watch.look():
            tenants = frozenset()
        changed = self._watch.taken()
        unknown = tenants is None or changed is None
        return self.reloading.reload(
            trigger, None if unknown else (tenants or frozenset()) | (changed or frozenset())
        )

    def _applied(self, touched: list[str], before: Mapping[str, Config]) -> None:
        """
        Another configuration applies.
        """
        configs, flows = self.configs, self.flows
        node = configs[ROOT].node
        flows.change(_longest(configs), node.streams, node.flows == "quiet")
        self.relay.change(node.idle, node.datagrams)
        different = {path for path in touched if closes(path, configs, before)}
        for stream in flows.streams() if different else ():
            if stream.owner.name in different:
                self._recheck(stream, stream.owner.name in configs)
        flows.keep(configs)
        self._enrol()

    def _usedUp(self, tenant: str) -> None:
        """
        A tenant has used up its month, and so have all below it.
        """
        for stream in self.flows.streams():
            if isWithin(stream.owner.name, tenant):
                stream.close(USED_UP)

    def _recheck(self, stream: Any, there: bool) -> None:
        """
        Close a stream that would not be let in any more.
        """
        if not there:
            stream.close(f"there is no tenant {stream.owner.name} any more")
            return
        try:
            stream.owner.policy.check(stream.info)
        except Refused as refused:
            stream.close(f"the policy has changed: {refused.detail or refused.cause.value}")

    def drain(self) -> Deferred[None]:
        """
        See L{INode}.
        """
        ended: Deferred[None] = Deferred()
        self._stopped.append(ended)
        if self.running:
            self.reactor.stop()
        return ended

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
        Stop listening, let streams end for C{node.drain} seconds, then cut them, and then
        stop the modules.
        """
        self.running = False
        self.reloading.stopped = True
        self._watch.stop()
        ending = self._listeners.stop(list(self._listeners.all.values()))
        parting = Parting(self.reactor, [each.links for each in self._tenants.tenants.values()])
        drain = Drain(self.reactor, self._left, self.config.node.drain)
        drain.done.addCallback(self._cut, parting)
        ending.append(drain.done)
        drain.begin(lambda: self._draining(drain.cut))
        return DeferredList(ending, consumeErrors=True).addCallback(self._ended)

    def _left(self) -> int:
        """
        How many streams have not ended, or have not been read to their end.
        """
        return len(self.flows) + self.relay.closing

    def _cut(self, result: object, parting: Parting) -> Any:
        self.flows.stop()
        self.relay.stop()
        if self._enrolments is not None:
            self._enrolments.stop()
        closed = parting.close().addCallback(lambda _: self._tenants.stop())
        if isinstance(self._usage, UsageFile):
            self._usage.stop()
        stopping: Deferred[Any] = super().stopService()  # type: ignore[no-untyped-call]
        return closed.addCallback(lambda _: stopping)

    def _ended(self, results: list[tuple[bool, object]]) -> None:
        for good, result in results:
            if not good and isinstance(result, Failure):
                self.log.failure("while stopping", result)
        self.own.clear()
        stopped, self._stopped = self._stopped, []
        for each in stopped:
            each.callback(None)


def _longest(configs: Mapping[str, Config]) -> float:
    """
    Seconds that one hop may take: one may have been given more time than targets have.
    """
    times = (dial.timeout for config in configs.values() for dial in config.dial.values())
    return max(configs[ROOT].node.connect, *times, 0.0)
