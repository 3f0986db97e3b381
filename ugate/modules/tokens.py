# -*- test-case-name: ugate.test.test_admin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Bearer tokens by the admin API.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from ugate.errors import StringError, UgateError
from ugate.interfaces import INode
from ugate.modules import answers
from ugate.modules.api import Asked
from ugate.modules.problems import Trouble
from ugate.stream import ROOT
from ugate.tenancy.credentialfiles import checkName
from ugate.tenancy.tokens import Token, makeToken, readTokens

_DAY: Final = 86400.0


class Tokens:
    """
    The operation C{token}.

    @since: ugate NEXT
    """

    def __init__(self, node: INode, now: Callable[[], float] = time.time) -> None:
        """
        @param now: the time of day.
        """
        self.node = node
        self._now = now

    def token(self, asked: Asked) -> answers.Token:
        """
        Make a token, and add its line to the file of the tenant if who asks looks after the node.
        """
        wanted: answers.NewToken = asked.body
        if asked.tenant not in self.node.tenants:
            raise Trouble(404, f"no tenant {asked.tenant}")
        try:
            name = checkName(wanted.name.encode())
        except StringError as error:
            raise Trouble(422, f"name: {error}") from error
        expires = None if wanted.days is None else self._now() + wanted.days * _DAY
        secret = makeToken()
        line = str(Token(name, sha256(secret.encode()).digest(), expires))
        path = self._file(asked.tenant)
        # A tenant could have named any file: what it writes there is not for the node to write.
        isStored = path is not None and asked.caller.tenant == ROOT and self._isAlone(asked.tenant, path)
        if isStored and path is not None:
            self._add(path, line)
        return answers.Token(secret, line, isStored)

    def _file(self, tenant: str) -> str | None:
        try:
            path = self.node.store.section(tenant, "policy", "").get("tokens")
        except KeyError:
            return None
        return path if isinstance(path, str) else None

    def _isAlone(self, tenant: str, path: str) -> bool:
        """
        Whether no other tenant has its tokens in that file, to whom the new one would then belong, too.
        """
        here = os.path.realpath(path)
        others = (self._file(each) for each in self.node.tenants if each != tenant)
        return all(each is None or os.path.realpath(each) != here for each in others)

    def _add(self, path: str, line: str) -> None:
        """
        Add a line to a file that is one of tokens already.
        """
        try:
            readTokens(path)
            before = Path(path).read_bytes()
            if before and not before.endswith(b"\n"):
                before += b"\n"
            _replace(path, before + line.encode() + b"\n")
        except (UgateError, OSError) as error:
            raise Trouble(409, f"the token cannot be stored: {error}") from error


def _replace(path: str, data: bytes) -> None:
    """
    Write a file anew, so that nobody ever reads half of it; who owns it and may read it stays so.
    """
    real = os.path.realpath(path)
    status = os.stat(real)
    new = f"{real}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, real)
    except OSError:
        os.unlink(new)
        raise
