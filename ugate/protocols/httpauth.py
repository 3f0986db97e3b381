# -*- test-case-name: ugate.test.test_httpauth -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Basic credentials as HTTP carries them (RFC 7617).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from twisted.cred.credentials import UsernamePassword

from ugate.errors import Cause, Phase, Refused

CHALLENGE: Final = b'Basic realm="ugate", charset="UTF-8"'
"""What C{Proxy-Authenticate} offers."""

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
