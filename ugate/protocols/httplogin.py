# -*- test-case-name: ugate.test.test_httplogin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who makes the requests of one client connection of a forward proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.interfaces import Auth
from ugate.protocols.httpauth import CHALLENGE, UNREAD, WRONG, loginFrom
from ugate.protocols.httpfields import Fields, values
from ugate.protocols.httpreply import Unserved
from ugate.stream import Principal

Login = Callable[[ICredentials], "Deferred[Principal] | Principal"]
"""Who has these credentials; raises or fails with L{UnauthorizedLogin} if nobody has."""

MAX_TRIES: Final = 3
"""How many requests in a row may lack a good login (L{int})."""


def _challenge(text: str) -> Unserved:
    """
    A 407.
    """
    return Unserved(407, text, ((b"Proxy-Authenticate", CHALLENGE),))


class ProxyLogin:
    """
    The login of each request on one connection.  The last good one is kept, so
    that the same one is not checked for each request.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, auth: Auth, login: Login | None, principal: Principal | None) -> None:
        """
        @param auth: whether a request has to prove who asks.
        @param login: checks credentials; not used with L{Auth.NONE}.
        @param principal: who asks when the request does not say.
        """
        self._auth = auth if login is not None or auth is Auth.REQUIRED else Auth.NONE
        self._login = login
        self._principal = principal
        self._known: tuple[bytes, Principal] | None = None
        self._tries = 0

    @property
    def isSpent(self) -> bool:
        """
        Were there too many bad tries?
        """
        return self._tries >= MAX_TRIES

    def check(self, fields: Fields) -> Principal | Deferred[Principal] | None:
        """
        Find out who makes a request.

        @param fields: the header of the request.
        @return: who asks, or L{None} if that is unknown and need not be known;
            a L{Deferred} fails with L{Unserved}.
        @raise Unserved: with a 407, or with a 400 for two logins at once.
        """
        if self._auth is Auth.NONE:
            return self._principal
        given = values(fields, b"proxy-authorization")
        if not given:
            if self._auth is Auth.OPTIONAL:
                return self._principal
            return self._refuse("This proxy wants a user name and a password.")
        if len(given) > 1:
            raise Unserved(400, "A request has one Proxy-Authorization.")
        if self._known is not None and self._known[0] == given[0]:
            return self._known[1]
        credentials = loginFrom(given[0])
        if credentials is None or self._login is None:
            return self._refuse(UNREAD)
        try:
            result = self._login(credentials)
        except Exception:
            checked: Deferred[Principal] = fail()
        else:
            checked = result if isinstance(result, Deferred) else succeed(result)
        checked.addCallbacks(self._good, self._bad, callbackArgs=(given[0],))
        return checked

    def _refuse(self, text: str) -> NoReturn:
        """
        @raise Unserved: with a 407.
        """
        self._tries += 1
        raise _challenge(text)

    def _good(self, principal: Principal, value: bytes) -> Principal:
        """
        Keep what was checked.
        """
        self._known = (value, principal)
        self._tries = 0
        return principal

    def _bad(self, failure: Failure) -> NoReturn:
        """
        @raise Unserved: with a 407, or with a 500 if the check itself failed.
        """
        # Who knows no tokens finds none good.
        if failure.check(UnauthorizedLogin, UnhandledCredentials) is not None:
            self._refuse(WRONG)
        self.log.failure("A login could not be checked", failure)
        raise Unserved(500, "The login could not be checked: look into the log of this proxy.")
