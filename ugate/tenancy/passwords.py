# -*- test-case-name: ugate.test.test_passwords,ugate.test.test_passwords_queue -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Logging in with a name and a password from a password file (L{ugate.tenancy.passwordhashes}).

C{python -m ugate.tenancy.passwords NAME} asks for a password and prints a line for the file.
"""

from __future__ import annotations

import hmac
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.interfaces import IPrincipal
from ugate.stream import Principal
from ugate.tenancy.credentialfiles import MAX_BYTES, Reread, checkName
from ugate.tenancy.passwordhashes import AnyHash, PasswordHash, readPasswords

_LIKE: Final = PasswordHash(b"", b"")

Defer: TypeAlias = Callable[[Callable[[], bool]], "Deferred[bool]"]
"""Calls something elsewhere than on the reactor's thread, and gives its result."""

MAX_REMEMBERED: Final = 1000
"""How many good logins are remembered."""

REMEMBERED_FOR: Final = 300.0
"""For how many seconds."""


class TooManyLogins(Refused, UnauthorizedLogin):
    """
    More people log in at once than passwords can be checked: try again, or raise the limit.

    @since: ugate NEXT
    """

    def __init__(self, path: str, waiting: int) -> None:
        Refused.__init__(self, Cause.OVERLOADED, Phase.AUTH, path, f"{waiting} logins wait already")


@dataclass(slots=True, eq=False)
class _Login:
    """
    A name and a password under check, and all who wait for the answer.
    """

    name: bytes
    password: bytes = field(repr=False)
    digest: bytes
    expected: AnyHash
    waiting: list[Deferred[bytes]] = field(default_factory=list)

    def isGood(self) -> bool:
        """
        Look at the password; this is the part that takes long.
        """
        return self.expected.matches(self.password)


@implementer(ICredentialsChecker)
class PasswordFile:
    """
    Checks names and passwords against a password file, which it reads again when it changes.

    A file that has mistakes after a change is told in the log, and the passwords from before stay.  What
    was checked is remembered for five minutes (as a keyed hash), because scrypt costs some 50 ms.  An
    unknown name costs as much as a wrong password.

    @ivar path: of the file.
    @since: ugate NEXT
    """

    credentialInterfaces = (IUsernamePassword,)
    _log = Logger()

    def __init__(
        self,
        path: str | None,
        clock: IReactorTime,
        defer: Defer | None = None,
        atOnce: int = 2,
        waiting: int = 1000,
    ) -> None:
        """
        @param path: of the file; L{None} if nobody has a password: then each login fails, at the
            cost of a wrong one.
        @param clock: the reactor.
        @param defer: what runs scrypt elsewhere; the threads of C{clock} unless given.
        @param atOnce: how many checks run at once; each takes 32 MiB.
        @param waiting: how many logins may wait for one; beyond that they fail with L{TooManyLogins}.
        @raise ConfigError: the file cannot be used.
        """
        self.path = path or "passwords"
        self._clock = clock
        self._defer = defer if defer is not None else inThreadsOf(clock)
        self._free = atOnce
        self._limit = waiting
        self._waiting = 0
        self._key = os.urandom(32)
        # Both in order of time: the oldest first.
        self._remembered: dict[bytes, float] = {}
        self._queue: deque[_Login] = deque()
        self._logins: dict[bytes, _Login] = {}
        self._starting = False
        self._overloaded = False
        self._file = None if path is None else Reread(path, readPasswords, "passwords")
        self._use({} if self._file is None else self._file.value)

    def knows(self, name: bytes) -> bool:
        """
        Whether somebody in the file has this name.
        """
        self._refresh()
        return name in self._users

    def hashOf(self, name: bytes) -> AnyHash | None:
        """
        What is kept of somebody's password; L{None} if there is none.
        """
        self._refresh()
        return self._users.get(name)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        Check a name and a password (L{IUsernamePassword}).

        @return: the name; fails with L{UnauthorizedLogin}.  Cancel it when nobody waits any more.
        """
        self._refresh()
        name, password = credentials.username, credentials.password
        digest = hmac.digest(self._key, b"%d:%s%s" % (len(name), name, password), "sha256")
        if self._isRemembered(digest):
            return succeed(name)
        if self._waiting >= self._limit:
            if not self._overloaded:
                self._overloaded = True
                self._log.warn(
                    "{path}: {waiting} logins wait: refusing more", path=self.path, waiting=self._waiting
                )
            return fail(TooManyLogins(self.path, self._waiting))
        # A browser opens many connections at once: they wait for one check together.
        login = self._logins.get(digest)
        if login is None:
            login = _Login(name, password, digest, self._decoy)
            self._logins[digest] = login
            self._queue.append(login)
        waiting = login.waiting
        answer: Deferred[Any] = Deferred(lambda cancelled: self._forget(waiting, cancelled))
        waiting.append(answer)
        self._waiting += 1
        self._start()
        return answer

    def _forget(self, waiting: list[Deferred[bytes]], cancelled: Deferred[bytes]) -> None:
        waiting.remove(cancelled)
        self._waiting -= 1

    def _isRemembered(self, digest: bytes) -> bool:
        now = self._clock.seconds()
        while self._remembered:
            oldest = next(iter(self._remembered))
            if self._remembered[oldest] > now:
                break
            del self._remembered[oldest]
        return digest in self._remembered

    def _start(self) -> None:
        """
        Start as many checks as may run.
        """
        if self._starting:
            # A check that ended at once, in the loop below.
            return
        self._starting = True
        while self._free and self._queue:
            login = self._queue.popleft()
            if not login.waiting:
                del self._logins[login.digest]
                continue
            self._free -= 1
            login.expected = self._users.get(login.name, self._decoy)
            maybeDeferred(self._defer, login.isGood).addBoth(self._ended, login)
        self._starting = False

    def _ended(self, result: bool | Failure, login: _Login) -> None:
        self._free += 1
        del self._logins[login.digest]
        # The file may have changed meanwhile; a decoy is nobody's.
        isGood = result is True and self._users.get(login.name) == login.expected
        if isGood:
            if len(self._remembered) >= MAX_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[login.digest] = self._clock.seconds() + REMEMBERED_FOR
        self._start()
        while login.waiting:
            answer = login.waiting.pop(0)
            self._waiting -= 1
            self._overloaded = self._overloaded and self._waiting > 0
            if isGood:
                answer.callback(login.name)
            else:
                answer.errback(result if isinstance(result, Failure) else UnauthorizedLogin())

    def _refresh(self) -> None:
        """
        Read the file again if it changed.
        """
        if self._file is not None and self._file.refresh():
            self._use(self._file.value)

    def _use(self, users: dict[bytes, AnyHash]) -> None:
        self._users = users
        self._remembered.clear()
        costs = Counter(known.cost for known in users.values()).most_common(1)
        like = next((known for known in users.values() if known.cost == costs[0][0]), _LIKE)
        self._decoy = like.decoy()


def inThreadsOf(reactor: Any) -> Defer:
    """
    What calls something in the thread pool of a reactor (L{twisted.internet.interfaces.IReactorThreads}).
    """
    from twisted.internet.threads import deferToThreadPool

    return lambda call: deferToThreadPool(reactor, reactor.getThreadPool(), call)


@implementer(IRealm)
class _Principals:
    """
    Whoever has a good password is who the name says.
    """

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        if IPrincipal not in interfaces:
            raise LookupError("a portal of passwords is asked for an IPrincipal")
        return IPrincipal, Principal(avatarId.decode(), "password"), lambda: None


def portalFor(checker: ICredentialsChecker) -> Portal:
    """
    A portal whose C{login(credentials, None, IPrincipal)} gives a L{Principal} with the method C{password}.

    @since: ugate NEXT
    """
    return Portal(_Principals(), [checker])


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Ask for a password, twice, and print the line for the password file.  When the input is no terminal,
    its first line is the password.

    @param arguments: of the command line, without the program.
    @return: 0, or 1 if a name or a password cannot be used.
    """
    from argparse import ArgumentParser

    parser = ArgumentParser(
        "python -m ugate.tenancy.passwords", description="Print a line for a password file."
    )
    parser.add_argument("name", metavar="NAME", help="the name of the user")
    name = os.fsencode(parser.parse_args(arguments).name)
    try:
        checkName(name)
        password = _askedPassword()
        if not 0 < len(password) <= MAX_BYTES:
            raise StringError(f"a password of {len(password)} bytes; wanted 1 to {MAX_BYTES}")
    except StringError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    print(f"{name.decode()}:{PasswordHash.ofPassword(password)}")
    return 0


def _askedPassword() -> bytes:
    """
    @raise StringError: two different ones were typed, or none.
    """
    if not sys.stdin.isatty():
        return sys.stdin.buffer.readline().rstrip(b"\r\n")
    from getpass import getpass

    try:
        password = getpass("Password: ")
        again = getpass("Again: ")
    except (EOFError, KeyboardInterrupt):
        raise StringError("\nno password was typed, so there is no line") from None
    if again != password:
        raise StringError("the two passwords differ; run it again")
    return password.encode()


if __name__ == "__main__":
    sys.exit(main())
