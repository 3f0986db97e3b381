# -*- test-case-name: ugate.test.test_changing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the admin API changes: sections of the configuration, streams, and whether the node runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock, inlineCallbacks

from ugate.checks import stringChecks
from ugate.endpoints.chain import parseChain
from ugate.errors import StringError, UgateError
from ugate.interfaces import INode, IWritableStore
from ugate.modules import answers
from ugate.modules.api import Asked, Tagged, tagOf
from ugate.modules.callers import ADMIN
from ugate.modules.looking import Looking, appliedFrom, sectionName
from ugate.modules.problems import Trouble
from ugate.stream import ROOT
from ugate.tenancy.config.sections import DELEGATED as OWN_KEYS
from ugate.tenancy.config.sections import NAME_SHAPE, Order, isName
from ugate.tenancy.config.whatif import WhatIf
from ugate.tenancy.config.whole import readConfigs

DELEGATED: Final = frozenset(["dial", "routes", "policy", "tenants", ADMIN])
"""The kinds whose sections somebody who looks after a tenant may write; others open ports or read files."""

_ON_THIS_MACHINE: Final = "it is on the machine of the node: only who looks after the node may name it"
_FILES: Final = frozenset(["users", "tokens", "issuers", "keys", "revoked", "certificates"])
_REFERENCES: Final = frozenset(["file", "env"])
_HOPS: Final = frozenset([("dial", "hops"), ("routes", "via")])


class Changing:
    """
    The operations that change something; each is a method of the same name.

    @since: ugate NEXT
    """

    def __init__(self, node: INode, looking: Looking) -> None:
        self.node = node
        self._looking = looking
        # One at a time, so that what a condition saw is still so when it is written.
        self._lock = DeferredLock()

    def kill(self, asked: Asked) -> answers.Killed:
        """
        Close a stream.
        """
        number = asked.given["id"]
        stream = self.node.flows.stream(number)
        if stream is None or not asked.caller.sees(stream.tenant):
            raise Trouble(404, f"no stream {number}; it may have ended")
        stream.close(f"closed by {asked.caller}")
        return answers.Killed(number)

    def put(self, asked: Asked) -> Deferred[Any]:
        """
        Write a section and apply it.
        """
        return self._lock.run(self._edit, asked, asked.body)

    def delete(self, asked: Asked) -> Deferred[Any]:
        """
        Remove a section and apply that.
        """
        return self._lock.run(self._edit, asked, None)

    def addTenant(self, asked: Asked) -> Deferred[Any]:
        """
        Write the section of a tenant that is not there yet.
        """
        section = dict(asked.body)
        name = section.pop("name", None)
        if not isinstance(name, str) or not isName(name):
            raise Trouble(422, f"name: wanted {NAME_SHAPE}")
        given = {"kind": "tenants", "name": name, "tenant": asked.tenant}
        asked = Asked(asked.operation, asked.caller, given, isNew=True)
        return self._lock.run(self._edit, asked, section)

    @inlineCallbacks
    def _edit(self, asked: Asked, section: Mapping[str, Any] | None) -> Any:
        current = self._looking.section(asked)
        _checkConditions(asked, current)
        if asked.caller.tenant != ROOT:
            checkDelegated(asked, section, current)
        if section is None and current is None:
            raise Trouble(404, f"no section {sectionName(asked)}")
        if asked.given["kind"] == "tenants" and not (section or {}).keys() <= set(OWN_KEYS):
            # A file would have the tenant's own sections there.
            raise Trouble(
                422, f"tenants: wanted {', '.join(OWN_KEYS)}; the rest is in sections of that tenant"
            )
        store = IWritableStore(self.node.store, None)
        if store is None:
            raise Trouble(409, "no store of this node can be written: name a folder as --config")
        self._foresee(asked, section)
        before = self.node.store.names(asked.tenant, asked.given["kind"])
        outcome: Any = yield self._apply(store, asked, section, f"admin: {asked.caller}")
        if not outcome.good:
            self._restore(store, asked, section, current, before)
            if not self.node.last.good:
                yield self.node.reload("admin: back to what was before", frozenset([asked.tenant]))
            raise Trouble(422, outcome.error, mistakesFrom(outcome.error))
        status = 201 if asked.operation.status == 201 or current is None else 200
        return Tagged(appliedFrom(outcome), "" if section is None else tagOf(section), status)

    def _foresee(self, asked: Asked, section: Mapping[str, Any] | None) -> None:
        """
        See whether a configuration would have mistakes, before anybody else can see them.

        @raise Trouble: it would.
        """
        node, kind, name = self.node, asked.given["kind"], asked.given["name"]
        whatIf = WhatIf(node.store, node.kinds)
        if section is None:
            whatIf.delete(asked.tenant, kind, name)
        else:
            whatIf.put(asked.tenant, kind, name, section)
        checks = stringChecks(node.tenants[asked.tenant].reactor)
        try:
            readConfigs(whatIf, checks, node.kinds, node.configs, whatIf.touched)
        except UgateError as error:
            raise Trouble(422, str(error), mistakesFrom(str(error))) from error

    def _apply(self, store: Any, asked: Asked, section: Mapping[str, Any] | None, trigger: str) -> Any:
        """
        Write a section, and have it read.

        @return: what came of it.
        """
        before = self.node.last
        self._write(store, asked, section)
        # A store that tells of its changes at once may have had it read already.
        last = self.node.last
        return last if last is not before else self.node.reload(trigger, frozenset([asked.tenant]))

    def _restore(
        self,
        store: Any,
        asked: Asked,
        section: Mapping[str, Any] | None,
        current: Mapping[str, Any] | None,
        before: list[str],
    ) -> None:
        """
        Let a kind have the sections again that it had.

        @param section: what was written, or L{None} if something was removed.
        @param current: what was there before.
        @param before: which names there were.
        """
        kind = asked.given["kind"]
        if section is not None:
            if self.node.kinds.order[kind] is Order.LISTED:
                # By its place: one that was added has one of its own.
                new = [name for name in self.node.store.names(asked.tenant, kind) if name not in before]
                for name in new:
                    self._write(store, asked, None, name)
                if new:
                    return
            else:
                self._write(store, asked, None)
                # What is in a store below that one is seen again.
                if self._looking.section(asked) == current:
                    return
        if current is not None:
            self._write(store, asked, current)

    def _write(
        self, store: Any, asked: Asked, section: Mapping[str, Any] | None, name: str | None = None
    ) -> None:
        kind, name = asked.given["kind"], asked.given["name"] if name is None else name
        try:
            if section is None:
                store.delete(asked.tenant, kind, name)
            else:
                store.put(asked.tenant, kind, name, section)
        except KeyError as error:
            if section is not None:
                raise Trouble(404, f"{sectionName(asked)}: {error.args[0]}") from error
            raise Trouble(
                409, f"{sectionName(asked)} is not in a store that can be written: remove it where it is"
            ) from None
        except UgateError as error:
            raise Trouble(409, str(error)) from error

    @inlineCallbacks
    def reload(self, asked: Asked) -> Any:
        """
        Read the configuration again.
        """
        outcome: Any = yield self.node.reload(f"admin: {asked.caller}")
        if not outcome.good:
            raise Trouble(422, outcome.error, mistakesFrom(outcome.error))
        return appliedFrom(outcome)

    def drain(self, asked: Asked) -> answers.Draining:
        """
        Let the node end.
        """
        open_ = len(self.node.flows)
        self.node.drain()
        return answers.Draining(open_)


def mistakesFrom(error: str) -> list[answers.Mistake]:
    """
    What is wrong, line by line, as far as lines begin with a place.
    """
    found = []
    for line in error.splitlines():
        place, colon, message = line.partition(": ")
        if colon and not line.startswith(" "):
            found.append(answers.Mistake(place, message))
    return found


def _checkConditions(asked: Asked, current: Mapping[str, Any] | None) -> None:
    if asked.isNew and current is not None:
        status = 409 if asked.operation.status == 201 else 412
        raise Trouble(status, f"{sectionName(asked)} is there already")
    if asked.tag is not None:
        tag = None if current is None else tagOf(current)
        if tag is None or asked.tag not in ("*", tag):
            raise Trouble(412, f"{sectionName(asked)} is no longer what it was: get it again")


def checkDelegated(
    asked: Asked, section: Mapping[str, Any] | None, current: Mapping[str, Any] | None
) -> None:
    """
    See that a tenant's section reaches nothing of the machine of the node: no port, file or variable.

    @param current: the section as it is now; what somebody else has put there may stay.
    @raise Trouble: it does.
    """
    kind = asked.given["kind"]
    if kind not in DELEGATED:
        kinds = ", ".join(sorted(DELEGATED))
        raise Trouble(403, f"sections of the kind {kind} are for who looks after the node; yours are {kinds}")
    now = dict(_leaves(current or {}))
    for key, value in _leaves(section or {}):
        isReference = key in _REFERENCES or (kind == "policy" and key in _FILES)
        isRead = (kind, key) in _HOPS and isinstance(value, str) and _readsFiles(value)
        if (isReference or isRead) and now.get(key) != value:
            raise Trouble(403, f"{kind}: {key}: {_ON_THIS_MACHINE}")


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """
    All that is within a section, with the key that it is under.
    """
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, str(name))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each, key)
    else:
        yield key, value


def _readsFiles(text: str) -> bool:
    """
    Whether hops have a password from a file or a variable, or are reached by an endpoint string, which may be
    anything.
    """
    try:
        hops = parseChain(text).hops
    except StringError:
        # The name of a dial section, or a mistake, which is told elsewhere.
        return False
    return any(
        hop.passwordFile or hop.passwordEnv or (isinstance(hop.via, str) and ":" in hop.via) for hop in hops
    )
