# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of the admin API have in the place of tenants and of a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal

from ugate.errors import Denied, UgateError
from ugate.interfaces import IPrincipal, IWritableStore
from ugate.stream import ROOT, Principal, StreamInfo
from ugate.tenancy.tenantlinks import TenantLinks


@implementer(IWritableStore)
class WritableStore:
    """
    Sections in a dictionary.

    @ivar locked: sections that are in another store, which cannot be written.
    """

    def __init__(self) -> None:
        self.sections: dict[tuple[str, str, str], Mapping[str, object]] = {}
        self.locked: set[tuple[str, str, str]] = set()

    def names(self, tenant: str, kind: str) -> list[str]:
        return [name for path, each, name in self.sections if (path, each) == (tenant, kind)]

    def section(self, tenant: str, kind: str, name: str) -> Mapping[str, object]:
        return self.sections[tenant, kind, name]

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        if "unwritable" in str(section):
            raise UgateError("the disk is full")
        if kind == "routes" and not name:
            name = f"conf/a.yaml:{1 + len(self.names(tenant, kind))}:5"
        self.sections[tenant, kind, name] = section

    def delete(self, tenant: str, kind: str, name: str) -> None:
        if (tenant, kind, name) in self.locked:
            raise KeyError(name)
        del self.sections[tenant, kind, name]

    def changed(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        return lambda: None


class FakePolicy:
    """
    Port 25 is forbidden.
    """

    def check(self, info: StreamInfo) -> None:
        if info.target is not None and info.target.port == 25:
            raise Denied(str(info), "no mail")

    def explain(self, info: StreamInfo) -> str:
        return f"policy: {info.principal} of {info.principal.tenant if info.principal else None}"


class FakeDialer:
    """
    All is direct.
    """

    def explain(self, info: StreamInfo) -> list[str]:
        return [f"direct to {info.target}"]


class FakeLimits:
    """
    One limit.
    """

    def snapshot(self) -> dict[str, dict[str, float | None]]:
        return {"streams": {"used": 2, "allowed": 10}, "up": {"used": 0.5, "allowed": None}}


@implementer(IRealm)
class Realm:
    """
    Principals of one tenant, or of one below it when the name has C{@}.
    """

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        name, _, tenant = avatarId.decode().partition("@")
        return IPrincipal, Principal(name, "password", tenant or self.tenant), lambda: None


class FakeResolver:
    """
    One that has answered.

    @ivar answering: has the counts.
    """

    def __init__(self, **counts: int) -> None:
        self.answering = self
        self.counts = counts


class FakeTenant:
    """
    One tenant.
    """

    def __init__(self, reactor: Any, name: str, hosts: tuple[str, ...] = (), **users: str) -> None:
        self.reactor = reactor
        self.name = name
        self.hosts = hosts
        self.policy = FakePolicy()
        self.dialer = FakeDialer()
        self.links = TenantLinks()
        self.resolvers: list[FakeResolver] = []
        self.limits = FakeLimits() if name != ROOT else None
        self.portal: Portal | None = None
        if users:
            checker = InMemoryUsernamePasswordDatabaseDontUse(
                **{user.replace("_at_", "@"): password.encode() for user, password in users.items()}
            )
            self.portal = Portal(Realm(name), [checker])

    def tenantFor(self, info: StreamInfo) -> FakeTenant:
        return self
