# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.forwards}: users who come and go in any order.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.forwarded import Forward
from ugate.endpoints.forwards import KEPT, Forwards
from ugate.errors import Cause, Refused
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.publishers import Publisher
from ugate.tenancy.who import parseWho
from ugate.test.sshfakes import HOST, INFO, PEER

USERS = [Principal(name, "key") for name in ("ann", "ben", "cat")]
HOSTS = ("a.example", "b.example")


def session() -> Any:
    """
    A connection, as far as it is looked at.
    """
    return SimpleNamespace(link=SimpleNamespace(info=INFO), room=1, isClosing=False, last=0.0)


ACTIONS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(range(3)), st.sampled_from(range(4))),
    st.tuples(st.just("withdraw"), st.sampled_from(range(3)), st.sampled_from(range(4))),
    st.tuples(st.just("leave"), st.sampled_from(range(3)), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from((1.0, KEPT / 2, KEPT)), st.just(0)),
)


class AnyOrderTests(SynchronousTestCase):
    """
    Whatever happens, a name is that of one user, and the nodes know it.
    """

    @given(st.lists(ACTIONS, max_size=30))
    def test_anyOrder(self, actions: list[tuple[str, Any, int]]) -> None:
        """
        A name is had by the first who asks, is lost by withdrawal or by time, and leads to whoever has it as
        long as that is there.
        """
        clock = Clock()
        self.nodes = Nodes(clock, (), [Publisher((parseWho("*"),), HOSTS)])
        self.forwards = Forwards(clock, self.nodes)
        self.sessions = [session() for _ in USERS]
        self.held: dict[str, int] = {}
        self.there: set[tuple[int, Target]] = set()
        self.away: dict[int, float] = {}
        for what, who, number in actions:
            if what == "wait":
                clock.advance(who)
            else:
                getattr(self, f"_{what}")(who, number, clock.seconds())
            for user, since in tuple(self.away.items()):
                if clock.seconds() - since >= KEPT:
                    del self.away[user]
                    self.held = {name: each for name, each in self.held.items() if each != user}
            self._check()

    def _at(self, number: int) -> Target:
        return Target(HOSTS[number % 2], 80 + number // 2)

    def _publish(self, user: int, number: int, now: float) -> None:
        at = self._at(number)
        forward = Forward(self.sessions[user], at, USERS[user])
        isGood = self.held.get(at.host, user) == user and (user, at) not in self.there
        try:
            self.forwards.publish(self.nodes.user(USERS[user]), forward)
        except Refused:
            self.assertFalse(isGood)
            return
        self.assertTrue(isGood)
        self.held[at.host] = user
        self.there.add((user, at))
        self.away.pop(user, None)

    def _withdraw(self, user: int, number: int, now: float) -> None:
        at = self._at(number)
        self.forwards.withdraw(self._keyid(user), self.sessions[user], at)
        if (user, at) not in self.there:
            return
        self.there.discard((user, at))
        if not any(each == user and other.host == at.host for each, other in self.there):
            del self.held[at.host]
        self._went(user, now)

    def _leave(self, user: int, number: int, now: float) -> None:
        wasThere = any(each == user for each, _ in self.there)
        self.forwards.leave(self._keyid(user), self.sessions[user])
        self.there = {(each, at) for each, at in self.there if each != user}
        self.sessions[user] = session()
        if wasThere:
            self._went(user, now)

    def _went(self, user: int, now: float) -> None:
        isThere = any(each == user for each, _ in self.there)
        if not isThere and user in self.held.values():
            self.away[user] = now

    def _keyid(self, user: int) -> str:
        return self.nodes.user(USERS[user]).keyid

    def _check(self) -> None:
        self.assertEqual(len(self.there), len(self.forwards))
        for host in HOSTS:
            user = self.held.get(host)
            found = self.nodes.find(host)
            self.assertEqual(None if user is None else self._keyid(user), found and found.keyid)
            self.assertEqual(user is not None, self.nodes.leads(host))
        for number in range(4):
            at = self._at(number)
            users = [each for each, other in self.there if other == at]
            info = StreamInfo(PEER, HOST, at, USERS[0])
            if users:
                self.forwards.endpointFor(info)
                self.assertIn(f"connection of {USERS[users[0]]} ", self.forwards.explain(info)[0])
            else:
                refused = self.assertRaises(Refused, self.forwards.endpointFor, info)
                self.assertIn(refused.cause, (Cause.HOST_UNREACHABLE, Cause.CONNECTION_REFUSED))
