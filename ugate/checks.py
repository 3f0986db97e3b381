# -*- test-case-name: ugate.test.test_checks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What knows whether the strings of a configuration can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.endpoints import serverFromString

from ugate.endpoints.chain import parseChain
from ugate.endpoints.meshtransports import TRANSPORTS
from ugate.endpoints.plain import mistakeIn, whyNot
from ugate.errors import StringError
from ugate.stream import Target
from ugate.tenancy.identityfiles import checkRoots
from ugate.tenancy.match import parseMatch
from ugate.tenancy.nodes import addressFromText, nodeName
from ugate.tenancy.passwordhashes import checkUsers
from ugate.tenancy.serverfiles import checkServers
from ugate.tenancy.tokens import checkTokens
from ugate.tenancy.trustfiles import checkKnown, checkRevoked
from ugate.tenancy.who import checkPattern, parseWho


def stringChecks(reactor: Any) -> Mapping[str, Callable[[str], object]]:
    """
    The checkers of the texts in a config; each raises L{ValueError} with what is
    wrong.  None of them opens, binds or resolves anything.

    @param reactor: handed to the parsers of endpoint strings.
    """

    def endpoint(text: str) -> None:
        wrong = mistakeIn(text)
        if wrong:
            raise StringError(f"{text!r}: {wrong}")
        try:
            serverFromString(reactor, text)
        except StringError:
            raise
        except Exception as error:
            # What Twisted's parsers raise for a bad string is of many types.
            why = whyNot(text, error)
            raise StringError(f"{text!r} cannot be read as a server endpoint: {why}") from error

    return {
        "endpoint": endpoint,
        "hops": parseChain,
        "match": parseMatch,
        "target": Target.fromText,
        "service": Target.anyFromText,
        "folder": Target.atPath,
        "users": checkUsers,
        "tokens": checkTokens,
        "issuers": _checkIssuers,
        "keys": _checkKeys,
        "revokedKeys": _checkRevokedKeys,
        "certificates": _checkCertificates,
        "roots": checkRoots,
        "servers": checkServers,
        "known": checkKnown,
        "revoked": checkRevoked,
        "meshAddress": _checkAddress,
        "nodeName": nodeName,
        "who": parseWho,
        "pattern": checkPattern,
    }


def _checkAddress(text: str) -> None:
    """
    Whether there is that way to a node.
    """
    address = addressFromText(text)
    # What users publish is asked for by names, which nobody else has.
    wanted = [name for name, each in TRANSPORTS.items() if not each.isNamed]
    if address.transport not in wanted:
        raise StringError(f"{text!r}: no transport {address.transport!r}; wanted one of {', '.join(wanted)}")


# What few have is imported when there is one to check.


def _checkIssuers(text: str) -> object:
    from ugate.tenancy.jwts import checkIssuers

    return checkIssuers(text)


def _checkKeys(text: str) -> object:
    from ugate.tenancy.keys import checkKeys

    return checkKeys(text)


def _checkRevokedKeys(text: str) -> object:
    from ugate.tenancy.usercertificates import checkRevokedKeys

    return checkRevokedKeys(text)


def _checkCertificates(text: str) -> object:
    from ugate.tenancy.certificates import checkCertificates

    return checkCertificates(text)
