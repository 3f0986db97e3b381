# -*- test-case-name: ugate.test.test_forwards,ugate.test.test_sshpublishing,ugate.test.test_sshpublishing_names -*-  # noqa: E501
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What users publish on their connections, by C{ssh -R}: under which names, and who may have these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from ugate.deadlines import Deadlines
from ugate.endpoints.dialers import Way
from ugate.endpoints.forwarded import Forward, wrongWith
from ugate.endpoints.nodetable import Users
from ugate.endpoints.published import isGiven
from ugate.endpoints.refusals import noTarget
from ugate.endpoints.registry import QUIET, addressOf
from ugate.endpoints.session import Session
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, MeshAddress, MeshNode
from ugate.protocols.servernames import ENDED
from ugate.stream import TCP, UNIX, Principal, StreamInfo, Target

SOURCE: Final = "ssh"
"""What the nodes are told that says so, and the transport by which they are reached."""

MAX_USERS: Final = 4095
"""
Users that are known at once, with those who are away.  One less than the nodes that we may tell of: one more
is told of before another one is forgotten for it.
"""

MAX_FORWARDS: Final = 10_000
"""Forwards of all users at once."""

MAX_OF_USER: Final = 256
"""The same of one user, on all connections."""

MAX_NAMES: Final = 16
"""Names of one user."""

KEPT: Final = 7 * 86_400.0
"""Seconds for which the names of a user who is away are kept."""

FIRST_PORT: Final = 49_152
"""The first that is given to whoever asks for any."""

JUMP: Final = 22
"""Where a user is looked for who is a jump target, whatever the number of the forward."""

CLEAR: Final = 80
"""Where it goes on in clear if its TLS has ended here."""

_AGAIN: Final = (Cause.PEER_CLOSED, Cause.TIMED_OUT)


class _User:
    """
    One that publishes, or has.
    """

    __slots__ = ("forwards", "isAway", "keyid", "names", "principal", "since", "where")

    def __init__(self, keyid: str, principal: Principal) -> None:
        self.keyid = keyid
        self.principal = principal
        self.forwards: list[Forward] = []
        self.names: dict[str, None] = {}
        self.where = MeshAddress(SOURCE, "localhost", 1)
        self.isAway = False
        self.since = 0.0

    def holds(self, name: str) -> bool:
        return any(each.at.host == name for each in self.forwards)


@implementer(IDialer)
class Forwards:
    """
    What the users of a tenant publish.  A name is that of the first who may have it and asks for it; it is
    kept for who is away, and given up by who withdraws it.

    @since: ugate NEXT
    """

    networks = TCP, UNIX

    _log = Logger()

    def __init__(self, clock: IReactorTime, nodes: Users) -> None:
        """
        @param clock: what tells the time.
        @param nodes: knows what users may have, and is told of each.
        """
        self._clock = clock
        self._nodes = nodes
        self._users: dict[str, _User] = {}
        self._names: dict[str, _User] = {}
        self._paths: dict[str, _User] = {}
        self._count = 0
        self._away: Deadlines[_User] = Deadlines(clock, KEPT, self._forget)

    def __len__(self) -> int:
        return self._count

    def free(self, keyid: str, host: str) -> int:
        """
        A port that a user has nothing at.
        """
        user = self._users.get(keyid.lower())
        taken = set() if user is None else {each.at.port for each in user.forwards if each.at.host == host}
        return next(port for port in count(FIRST_PORT) if port not in taken)

    def publish(self, node: MeshNode, forward: Forward) -> None:
        """
        Something is there.  Of several at the same place, the last is used as long as it is there.

        @param node: what the user may have, which whoever calls has looked at.
        @raise Refused: there are too many, or the name is that of somebody else; then nothing is changed.
        """
        name, keyid = forward.at.host, node.keyid.lower()
        user = self._users.get(keyid) or _User(node.keyid, forward.principal)
        if any(each.at == forward.at and each.session is forward.session for each in user.forwards):
            raise Denied(str(forward.at), "it is forwarded already")
        if forward.at.network == UNIX and self._paths.get(name, user) is not user:
            raise Denied(str(forward.at), "it is that of another user", "ask for another path")
        if self._count >= MAX_FORWARDS:
            raise _full(forward, f"{MAX_FORWARDS} forwards are there")
        if len(user.forwards) >= MAX_OF_USER:
            raise _full(forward, f"{forward.principal} has {MAX_OF_USER} forwards")
        isCrowded = keyid not in self._users and len(self._users) >= MAX_USERS
        if isCrowded and not len(self._away):
            raise _full(forward, f"{MAX_USERS} users are there")
        names = self._namesWith(user, name, forward)
        self._learn(user, names, forward.session)
        if isCrowded:
            # Not before it is sure that there is somebody to make place for.
            self._forget(self._away.oldest)
        self._users[keyid] = user
        self._rename(user, names)
        self._away.stop(user)
        user.isAway = False
        user.principal = forward.principal
        user.forwards.append(forward)
        self._count += 1
        if forward.at.network == UNIX:
            self._paths[forward.at.host] = user

    def _namesWith(self, user: _User, name: str, forward: Forward) -> dict[str, None]:
        names = dict(user.names)
        if name != user.keyid.lower() and forward.at.network != UNIX:
            names[name] = None
        for each in user.names:
            if len(names) > MAX_NAMES and each != name and not user.holds(each):
                del names[each]
        if len(names) > MAX_NAMES:
            raise _full(forward, f"{user.principal} has {MAX_NAMES} names")
        return names

    def _learn(self, user: _User, names: dict[str, None], session: Session | None) -> None:
        """
        Tell the nodes of it.

        @param session: where it is; L{None} if it is away.
        """
        if session is not None:
            user.where = addressOf(session.link.info.peer, SOURCE)
        until = None if session is not None else user.since + KEPT
        self._nodes.learn(MeshNode(user.keyid, (user.where,), tuple(names), SOURCE, until))

    def _rename(self, user: _User, names: dict[str, None]) -> None:
        for name in user.names.keys() - names.keys():
            del self._names[name]
        user.names = names
        self._names.update(dict.fromkeys(names, user))

    def withdraw(self, keyid: str, session: Session, at: Target) -> None:
        """
        A user gives something up, and its name with the last thing there.
        """
        user = self._users.get(keyid.lower())
        mine = [each for each in self.ofUser(keyid) if each.session is session and each.at == at]
        if user is None or not mine:
            return
        self._drop(user, mine[0])
        self._keep(user, lambda name: name != at.host or user.holds(name))

    def leave(self, keyid: str, session: Session) -> None:
        """
        A connection is gone; the names stay those of its user for a while.
        """
        user = self._users.get(keyid.lower())
        mine = [each for each in self.ofUser(keyid) if each.session is session]
        if user is None or not mine:
            return
        for forward in mine:
            self._drop(user, forward)
        self._keep(user, lambda name: True)

    def _drop(self, user: _User, forward: Forward) -> None:
        user.forwards.remove(forward)
        self._count -= 1
        listener, at = forward.listener, forward.at
        if listener is not None and not any(
            each.listener is listener and each.at == at for each in user.forwards
        ):
            listener.release(user.keyid, at)
        if at.network == UNIX and not any(each.at == at for each in user.forwards):
            del self._paths[at.host]
        forward.gone(at)

    def _keep(self, user: _User, keeps: Callable[[str], bool]) -> None:
        """
        Let a user have fewer names, and see whether it is there.
        """
        self._rename(user, {name: None for name in user.names if keeps(name)})
        if user.forwards:
            self._learn(user, user.names, user.forwards[-1].session)
        elif user.names:
            if not user.isAway:
                user.isAway, user.since = True, self._clock.seconds()
                self._away.start(user)
            self._learn(user, user.names, None)
        else:
            self._forget(user)

    def _forget(self, user: _User) -> None:
        self._away.stop(user)
        self._rename(user, {})
        self._users.pop(user.keyid.lower(), None)
        self._nodes.forget(user.keyid, SOURCE)

    def look(self) -> None:
        """
        The config says something else: what may not be published any more is gone, and names with it.
        """
        for user in tuple(self._users.values()):
            for forward in tuple(user.forwards):
                node = self._nodes.user(forward.principal)
                wrong = wrongWith(node, forward.at, forward.listener is not None)
                if wrong or not self._isFree(user, forward.at.host):
                    who, at = str(user.principal), str(forward.at)
                    self._log.info("{who} may not publish {at} any more", who=who, at=at)
                    self._drop(user, forward)
            self._keep(user, partial(self._mayKeep, user))

    def _mayKeep(self, user: _User, name: str) -> bool:
        isGood = user.holds(name) or isGiven(self._nodes.user(user.principal), name)
        return isGood and self._isFree(user, name)

    def _isFree(self, user: _User, name: str) -> bool:
        """
        Whether the config gives a name to no node.
        """
        found = self._nodes.find(name)
        return found is None or found.keyid == user.keyid

    def stop(self) -> None:
        """
        Forget the timer.
        """
        self._away.close()

    def ofUser(self, keyid: str) -> tuple[Forward, ...]:
        """
        What a user publishes.
        """
        user = self._users.get(keyid.lower())
        return () if user is None else tuple(user.forwards)

    # The way there.

    def hasPath(self, path: str) -> bool:
        """
        Whether the UNIX socket at a path is that of a user.
        """
        return path in self._paths

    def _find(self, target: Target) -> _User | None:
        if target.network == UNIX:
            return self._paths.get(target.host)
        name = target.host.lower().removesuffix(".")
        return self._names.get(name) or self._users.get(name.partition(".")[0])

    def _fitting(self, user: _User, info: StreamInfo, target: Target) -> Iterator[Forward]:
        """
        What a stream may be for, the best first.  One whose TLS has ended here is for what is in clear.
        """
        if target.network == UNIX:
            yield from (each for each in reversed(user.forwards) if each.at == target)
            return
        host = target.host.lower().removesuffix(".")
        if host not in self._names:
            host = next(iter(self._nodes.user(user.forwards[0].principal).names), user.keyid.lower())
        here = [each for each in user.forwards if each.at.host == host]
        for port in (CLEAR, target.port) if info.layers[-1:] == (ENDED,) else (target.port,):
            yield from (each for each in reversed(here) if each.at.port == port)
        if target.port == JUMP:
            jumps = [each for each in here if each.isJump]
            sessions = dict.fromkeys(each.session for each in reversed(jumps))
            yield from (each for session in sessions for each in jumps if each.session is session)

    def _forwardFor(self, info: StreamInfo) -> Forward:
        target = info.target
        if target is None:
            raise noTarget(info)
        user = self._find(target)
        if user is None or not user.forwards:
            who = target.host if user is None else user.principal
            raise Refused(
                Cause.HOST_UNREACHABLE,
                Phase.CONNECT,
                str(target),
                f"{who} is away: it has no connection here on which it publishes something",
                "have it connect again, with ssh -R",
            )
        full = False
        for forward in self._fitting(user, info, target):
            if forward.session.room > 0:
                return forward
            full = True
        if full:
            detail = "all its connections are full or going away"
            raise Refused(Cause.OVERLOADED, Phase.CONNECT, str(target), detail)
        raise Refused(
            Cause.CONNECTION_REFUSED,
            Phase.CONNECT,
            str(target),
            f"{user.principal} does not publish that",
            "see ucli explain, or ssh GATE as that user",
        )

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}: by the target's host and port.
        """
        self._forwardFor(info)
        return Way(lambda factory: self._connect(info, factory))

    async def _connect(self, info: StreamInfo, factory: IProtocolFactory) -> IProtocol:
        while True:
            forward = self._forwardFor(info)
            session = forward.session
            try:
                if self._clock.seconds() - session.last >= QUIET:
                    await session.check()
                asked: Any = session.endpointFor(info.but(target=forward.at))
                connected: Deferred[IProtocol] = asked.connect(factory)
                return await connected
            except Refused as refused:
                # It was not answered: if its connection is gone, there may be another.
                if refused.cause not in _AGAIN or not session.isClosing:
                    raise

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        try:
            forward = self._forwardFor(info)
        except Refused as refused:
            return [f"refuse: {refused}"]
        who = f"{forward.principal} ({forward.principal.method})"
        return [f"open a stream on the connection of {who} from {forward.session.link.info.but(target=None)}"]


def _full(forward: Forward, detail: str) -> Refused:
    return Refused(Cause.OVERLOADED, Phase.NEGOTIATE, str(forward.at), detail)
