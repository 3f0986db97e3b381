# -*- test-case-name: ugate.test.test_ca -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Why something is not certified.
"""

from __future__ import annotations

from ugate.errors import UgateError


class NotCertified(UgateError):
    """
    Nothing was certified or changed: the message says why, and what to do.

    @since: ugate NEXT
    """


class BadRequest(NotCertified):
    """
    What was asked for cannot be read, or does not fit together: ask for something else.
    """


class NotAllowed(NotCertified):
    """
    Whoever asks may not have that: see the rules of the CA.
    """


class NotKnown(NotCertified):
    """
    Whoever asks did not prove who it is: get another token, or log in.
    """


class NoSuch(NotCertified):
    """
    There is nothing of that serial number or name: see C{ucli ca list}.
    """


class Busy(NotCertified):
    """
    The record of the CA could not be had in time: another process works with it.  Ask again in a moment.
    """


class TooMany(NotCertified):
    """
    A limit is reached: wait until something has ended, or revoke it.
    """
