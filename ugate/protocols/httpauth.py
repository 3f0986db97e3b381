# -*- test-case-name: ugate.test.test_httpauth -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Credentials as HTTP carries them: Basic (RFC 7617) and Bearer (RFC 6750).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Final

from twisted.cred.credentials import UsernamePassword

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.credentials import BearerToken

CHALLENGE: Final = b'Basic realm="ugate", charset="UTF-8"'
"""What C{Proxy-Authenticate} offers."""

UNREAD: Final = "This proxy takes Basic and Bearer credentials, and could not read these."
"""What somebody is told whose credentials L{loginFrom} cannot read."""

WRONG: Final = "The user name, the password or the token is wrong."
"""What somebody is told whose credentials are nobody's."""

_MAX_TOKEN: Final = 2048
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_CONTROLS: Final = bytes((*range(32), 127))


def _hasControl(text: bytes) -> bool:
    """
    Is there a control character, which neither a user name nor a password may have?
    """
    return text.translate(None, _CONTROLS) != text


def basicLogin(value: bytes) -> UsernamePassword | None:
    """
    The login in the value of a C{Proxy-Authorization} field.

    The bytes of the name and the password are not decoded: with the charset of
    our challenge they are UTF-8.

    @return: L{None} if it is another scheme, or not what RFC 7617 describes.
    @since: ugate NEXT
    """
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        plain = b64decode(token.strip(b" "), validate=True)
    except ValueError:
        return None
    user, colon, password = plain.partition(b":")
    if not colon or _hasControl(plain):
        return None
    return UsernamePassword(user, password)


def bearerLogin(value: bytes) -> BearerToken | None:
    """
    The token in the value of a C{Proxy-Authorization} field.

    @return: L{None} if it is another scheme, or not what RFC 6750 describes.
    @since: ugate NEXT
    """
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = rest.strip(b" ")
    if len(token) > _MAX_TOKEN or _TOKEN.fullmatch(token) is None:
        return None
    return BearerToken(token)


def loginFrom(value: bytes) -> UsernamePassword | BearerToken | None:
    """
    The login in the value of a C{Proxy-Authorization} field.

    @return: L{None} if it is of a scheme that is not known here, or broken.
    @since: ugate NEXT
    """
    return basicLogin(value) or bearerLogin(value)


def basicValue(login: UsernamePassword, hop: str) -> bytes:
    """
    The value of the C{Proxy-Authorization} field that says this login.

    @param login: its fields are L{bytes}, in UTF-8.
    @param hop: what the error names.
    @raise Refused: there is a colon in the user name or a control character in
        either, which Basic cannot say.
    @since: ugate NEXT
    """
    user, password = login.username, login.password
    if b":" in user or _hasControl(user) or _hasControl(password):
        raise Refused(
            Cause.UNSUPPORTED,
            Phase.AUTH,
            hop,
            "HTTP Basic has no way to say a user name with a colon, nor control characters",
            "give that hop another user name or password",
        )
    return b"Basic " + b64encode(b"%b:%b" % (user, password))
