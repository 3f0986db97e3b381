# -*- test-case-name: ugate.test.test_reload_modules -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The modules of a node that its configuration asks for, as services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred

from ugate.errors import UgateError
from ugate.interfaces import IModule, ITenant
from ugate.journal import Journal
from ugate.reactors import reactorTrouble
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Config
from ugate.tenancy.listening import Sockets

Key: TypeAlias = tuple[str, str, str]
"""The path of a tenant, the kind and the name of a section."""


class Services:
    """
    All modules that run.

    @ivar all: their services.
    @since: ugate NEXT
    """

    def __init__(
        self, parent: MultiService, modules: Mapping[str, IModule], sockets: Sockets, reactor: Any
    ) -> None:
        """
        @param parent: what they are services of.
        @param modules: what there is to run, by kind.
        @param reactor: what the node runs on.
        """
        self.all: dict[Key, IService] = {}
        # Each has a parent of its own, where no other one may have its name.
        self._holders: dict[IService, MultiService] = {}
        self._sections: dict[Key, object] = {}
        self._parent = parent
        self._modules = modules
        self._sockets = sockets
        self._reactor = reactor

    def plan(self, configs: Mapping[str, Config], touched: Iterable[str]) -> tuple[dict[Key, Any], list[Key]]:
        """
        What has to be done.

        @param touched: the tenants of which something is different.
        @return: the sections of services to make, and the services that will be gone or replaced then.
        """
        make: dict[Key, Any] = {}
        old: list[Key] = []
        touched = set(touched)
        for key in self.all:
            path, kind, name = key
            if path in touched:
                config = configs.get(path)
                section = None if config is None else config.modules.get((kind, name))
                if section is None or section != self._sections[key]:
                    old.append(key)
        for path in touched:
            config = configs.get(path)
            for (kind, name), section in () if config is None else config.modules.items():
                key = (path, kind, name)
                if key not in self.all or key in old:
                    make[key] = section
        return make, old

    def check(
        self, make: Mapping[Key, Any], configs: Mapping[str, Config], tenants: Mapping[str, ITenant]
    ) -> Iterator[tuple[Key, IService] | str]:
        """
        Make services, which do not run yet.

        @return: each, or what is wrong with it.
        """
        for key, section in make.items():
            path, kind, name = key
            place = configs[path].origins.get((kind, name))
            where = f"{_of(path)}{kind}.{name}" if place is None else f"{place}: {_of(path)}{kind}.{name}"
            module = self._modules.get(kind)
            if module is None:
                yield f"{where}: there is no module of that kind"
                continue
            if trouble := reactorTrouble(self._reactor, module):
                yield f"{where}: {trouble}"
                continue
            try:
                yield key, module.makeService(tenants[path], name, section)
            except UgateError as error:
                yield f"{where}: {error}"

    def start(
        self, services: Iterable[tuple[Key, IService]], sections: Mapping[Key, Any], journal: Journal
    ) -> list[str]:
        """
        Let them run, as soon as their parent does.

        @return: what is wrong, a sentence each.
        """
        troubles = []
        for key, service in services:
            journal.put(self.all, key, service)
            journal.put(self._sections, key, sections[key])
            journal.did(partial(self._stop, service))
            try:
                with self._sockets.owned(key):
                    holder = MultiService()
                    self._holders[service] = holder
                    service.setServiceParent(holder)
                    holder.setServiceParent(self._parent)
            except Exception as error:
                # What may go wrong in there is of many types.
                troubles.append(_cannotStart(key, error))
        return troubles

    def privileged(self) -> list[str]:
        """
        Let all of them do what needs the privileges of the start.

        @return: what is wrong, a sentence each.
        """
        return self._all("privilegedStartService")

    def run(self) -> list[str]:
        """
        Let all of them run.

        @return: what is wrong, a sentence each.
        """
        return self._all("startService")

    def _all(self, method: str) -> list[str]:
        troubles = []
        for key, service in self.all.items():
            try:
                with self._sockets.owned(key):
                    getattr(service, method)()
            except Exception as error:
                # As above.
                troubles.append(_cannotStart(key, error))
        return troubles

    def stop(self, keys: Iterable[Key], services: Mapping[Key, IService]) -> list[Deferred[Any]]:
        """
        Stop services that were replaced, or that nobody wants any more.

        @param services: what ran under these keys.
        @return: what to wait for.
        """
        ending = []
        for key in keys:
            service = services[key]
            if self.all.get(key) is service:
                del self.all[key]
                del self._sections[key]
            ending.append(maybeDeferred(self._stop, service))
        return ending

    def _stop(self, service: IService) -> Any:
        holder = self._holders.pop(service, None)
        return None if holder is None or holder.parent is None else holder.disownServiceParent()


def _of(path: str) -> str:
    return "" if path == ROOT else f"tenant {path}: "


def _cannotStart(key: Key, error: Exception) -> str:
    path, kind, name = key
    return f"{_of(path)}{kind}.{name} cannot start: {str(error) or type(error).__name__}"
