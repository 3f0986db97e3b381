# -*- test-case-name: ugate.test.test_reload,ugate.test.test_reload_listeners,ugate.test.test_reload_wrong -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The one way by which a configuration that has changed comes into force: it is read and
checked as a whole, and then all of it applies or nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from twisted.application.service import IService
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.journal import Journal
from ugate.listeners import Listeners, Listening
from ugate.services import Services
from ugate.tenancy.config.sections import ROOT, parentPath
from ugate.tenancy.config.whole import Config
from ugate.tenancy.listening import Sockets
from ugate.tenants import Tenants

Read: TypeAlias = Callable[[Mapping[str, Config], "frozenset[str] | None"], Mapping[str, Config]]
"""
Reads the configuration again, from what was read before and the paths of the tenants
that changed; with L{None} all may have.
"""

PATIENCE: Final = 10.0
"""Seconds that what was replaced has to stop before the next change is looked at."""

_LATER: Final = ("log", "mark", "state")
"""What a running node does not change: how it logs, where its keys are, what marks its connections."""

_NAMED: Final = 100
"""How many changes are named."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of a reload.

    @since: ugate NEXT
    """

    wall: float
    """When, in seconds since 1970."""

    good: bool
    """Whether the configuration applies; if not, the one before still does."""

    generation: int
    """How many configurations have applied so far, this one included if it is good."""

    changed: tuple[str, ...]
    """What is different, as C{listen alice/main}."""

    error: str
    """What was wrong, a line each; or empty."""

    trigger: str
    """Who wanted it: C{start}, C{SIGHUP}, C{store}, C{admin}."""

    others: str = ""
    """What is still wrong with earlier changes, of other tenants, that wait for it to be mended."""

    later: tuple[str, ...] = ()
    """What is written otherwise than at the start, and holds from the next start on."""


class Reloading:
    """
    Reads the configuration again and applies what is different.

    @ivar last: what came of the last time.
    @ivar stopped: whether nothing is to change any more.
    @ivar good: how often it was good.
    @ivar bad: how often it was not.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        tenants: Tenants,
        listeners: Listeners,
        services: Services,
        sockets: Sockets,
        *,
        read: Read,
        applied: Callable[[list[str], Mapping[str, Config]], object],
    ) -> None:
        """
        @param read: see L{Read}.
        @param applied: called with the tenants that are different, and what they were
            configured to do, when all of them are as they should be.
        """
        self._clock = clock
        self._tenants = tenants
        self._listeners = listeners
        self._services = services
        self._sockets = sockets
        self._read = read
        self._applied = applied
        self._first = tenants.configs[ROOT].node
        self.last = Outcome(time.time(), True, 1, (), "", "start")
        self.stopped = False
        self.good = 0
        self.bad = 0
        self._running = False
        self._next: _Asked | None = None
        self._failed: frozenset[str] | None = frozenset()
        """What could not be read as it is now: as C{tenants} of L{reload}."""

    def reload(self, trigger: str, tenants: frozenset[str] | None = None) -> Deferred[Outcome]:
        """
        Reload; if that is under way, once more after it, however often it is asked for.

        @param trigger: who wants it.
        @param tenants: the paths of those that changed; L{None} if that is not known.
        @return: what came of it; it does not fail.
        """
        result: Deferred[Outcome] = Deferred()
        asked = _Asked((trigger,), tenants, (result,))
        if self._running:
            self._next = asked if self._next is None else self._next.together(asked)
        else:
            self._run(asked)
        return result

    def _run(self, asked: _Asked) -> None:
        if self.stopped:
            self._refused(", ".join(asked.triggers), "this gateway is being stopped")
            for result in asked.results:
                result.callback(self.last)
            return
        self._running = True
        trigger = ", ".join(dict.fromkeys(asked.triggers))
        try:
            ending = self._attempt(trigger, asked.tenants)
        except Exception as error:
            self.log.failure("a reload failed by a fault of ours")
            self._refused(trigger, f"a fault of ours: {error!r}")
            ending = []
        outcome = self.last
        ended: Deferred[Any] = DeferredList(ending, consumeErrors=True)
        ended.addCallback(self._stopped)
        if ended.called:
            self._ended(asked, outcome)
            return
        waiting: list[IDelayedCall] = []

        def tooLong() -> None:
            self.log.warn("what was replaced has not stopped within {seconds:g} s", seconds=PATIENCE)
            waiting.clear()
            self._ended(asked, outcome)

        def inTime(result: object) -> None:
            if waiting:
                waiting.pop().cancel()
                self._ended(asked, outcome)

        waiting.append(self._clock.callLater(PATIENCE, tooLong))
        ended.addCallback(inTime)

    def _stopped(self, results: list[tuple[bool, Any]]) -> None:
        for good, result in results:
            if not good:
                self.log.failure("while stopping what was replaced", result)

    def _ended(self, asked: _Asked, outcome: Outcome) -> None:
        self._running = False
        following, self._next = self._next, None
        if following is not None:
            self._run(following)
        for result in asked.results:
            result.callback(outcome)

    def _attempt(self, trigger: str, tenants: frozenset[str] | None) -> list[Deferred[Any]]:
        """
        Change what is asked for, with what could not be before; if that still cannot,
        the mistakes of one tenant are no matter of the others.
        """
        failed = self._failed
        both = None if tenants is None or failed is None else tenants | failed
        ending = self._change(trigger, both)
        self._failed = frozenset() if self.last.good else both
        first = self.last
        # A tenant that is not there yet comes by what its parent has, which is what could not be.
        if not first.good and both != tenants and not self._tenants.configs.keys().isdisjoint(tenants or ()):
            ending += self._change(trigger, tenants)
            if self.last.good:
                self._failed = failed
                self.last = replace(self.last, others=first.error)
        return ending

    def _change(self, trigger: str, tenants: frozenset[str] | None) -> list[Deferred[Any]]:
        """
        Read, check and apply.

        @return: what to wait for.
        """
        before = self._tenants.configs
        try:
            configs = self._read(before, tenants)
        except UgateError as error:
            self._refused(trigger, str(error))
            return []
        touched = self._tenants.touched(configs)
        journal = Journal()
        try:
            troubles, applied = self._apply(configs, touched, journal)
        except Exception:
            journal.rollback()
            self._sockets.rollback()
            raise
        if troubles:
            journal.rollback()
            ending = self._sockets.rollback()
            self._refused(trigger, "\n".join(troubles))
            return ending
        self._sockets.commit()
        journal.commit()
        listenings, services = applied
        ending = self._listeners.stop(listenings)
        self._listeners.close(listenings)
        ending += self._services.stop(services, services)
        for tenant in self._tenants.gone(configs):
            self._tenants.remove(tenant)
        self._applied(touched, before)
        self._succeeded(trigger, tuple(_differences(before, configs, touched)))
        return ending

    def _apply(
        self, configs: Mapping[str, Config], touched: list[str], journal: Journal
    ) -> tuple[list[str], tuple[list[Listening], dict[tuple[str, str, str], IService]]]:
        """
        Do all that can be taken back.

        @return: what is wrong, and what has been replaced.
        """
        tenants = self._tenants.tenants
        wrong = self._tenants.change(configs, touched, journal)
        troubles = [str(error) if path == ROOT else f"tenant {path}: {error}" for path, error in wrong]
        if troubles:
            return troubles, ([], {})
        make, oldListenings = self._listeners.plan(configs, tenants, touched)
        run, keys = self._services.plan(configs, touched)
        oldServices = {key: self._services.all[key] for key in keys}
        made = list(self._listeners.check(make, configs, tenants))
        services = list(self._services.check(run, configs, tenants))
        troubles = [each for each in (*made, *services) if isinstance(each, str)]
        if troubles:
            return troubles, ([], {})
        retiring = {listening.owner for listening in oldListenings}.union(keys)
        self._sockets.begin(retiring.__contains__)
        new = [each for each in made if isinstance(each, Listening)]
        troubles = self._listeners.listen(new, journal)
        if not troubles:
            runs = [each for each in services if not isinstance(each, str)]
            troubles = self._services.start(runs, run, journal)
        return troubles, (oldListenings, oldServices)

    def _refused(self, trigger: str, error: str) -> None:
        self.bad += 1
        self.last = Outcome(time.time(), False, self.last.generation, (), error, trigger)
        self.log.error(
            "reload ({trigger}) refused, what was configured before still applies:\n{error}",
            trigger=trigger,
            error=error,
        )

    def _succeeded(self, trigger: str, changed: tuple[str, ...]) -> None:
        self.good += 1
        node = self._tenants.configs[ROOT].node
        later = tuple(f"node.{key}" for key in _LATER if getattr(node, key) != getattr(self._first, key))
        self.last = Outcome(
            time.time(), True, self.last.generation + bool(changed), changed, "", trigger, later=later
        )
        self.log.info(
            "reload ({trigger}): {changes}{later}",
            trigger=trigger,
            changes=", ".join(changed) or "nothing is different",
            changed=changed,
            later=f"; only from the next start on: {', '.join(later)}" if later else "",
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """
    Who wants a reload, and of what.
    """

    triggers: tuple[str, ...]
    tenants: frozenset[str] | None
    results: tuple[Deferred[Outcome], ...]

    def together(self, other: _Asked) -> _Asked:
        """
        Both at once.
        """
        unknown = self.tenants is None or other.tenants is None
        return _Asked(
            self.triggers + other.triggers,
            None if unknown else (self.tenants or frozenset()) | (other.tenants or frozenset()),
            self.results + other.results,
        )


def _differences(
    before: Mapping[str, Config], after: Mapping[str, Config], touched: Iterable[str]
) -> Iterator[str]:
    """
    What is different, in words; not more than anybody reads.
    """
    count = 0
    for each in _sections(before, after, touched):
        count += 1
        if count <= _NAMED:
            yield each
    if count > _NAMED:
        yield f"and {count - _NAMED} more"


def _sections(
    before: Mapping[str, Config], after: Mapping[str, Config], touched: Iterable[str]
) -> Iterator[str]:
    nothing = Config()
    for path in touched:
        old, new = before.get(path, nothing), after.get(path, nothing)
        of = "" if path == ROOT else f"{path}/"
        for kind in ("node", "policy", "identity", "trust", "routes"):
            if getattr(old, kind) != getattr(new, kind):
                yield f"{kind} {path}" if of else kind
        for kind in ("listen", "dial", "nodes", "serve", "tenants"):
            was, now = getattr(old, kind), getattr(new, kind)
            if was is not now:
                yield from (f"{kind} {of}{name}" for name in _unequal(was, now))
        if old.modules is not new.modules:
            yield from (f"{kind} {of}{name}" for kind, name in _unequal(old.modules, new.modules))


def _unequal(was: Mapping[Any, object], now: Mapping[Any, object]) -> Iterator[Any]:
    for key, value in now.items():
        had = was.get(key)
        if had is not value and had != value:
            yield key
    yield from (key for key in was if key not in now)


def closes(path: str, configs: Mapping[str, Config], before: Mapping[str, Config]) -> bool:
    """
    Whether the streams of a tenant end that its policy would refuse now, or that are
    of a tenant which is gone.
    """
    if path in configs:
        return configs[path].policy.close
    above: str | None = path
    while above is not None and above not in configs:
        if above in before and before[above].policy.close:
            return True
        above = parentPath(above)
    return above is not None and configs[above].policy.close
