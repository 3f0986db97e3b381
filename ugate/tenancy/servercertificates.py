# -*- test-case-name: ugate.test.test_servercertificates -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Certificates for the names of servers, of which that of the name that a client asks for answers it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.stream import ROOT
from ugate.tenancy.expiry import Expiry
from ugate.tenancy.identityfiles import Keypair, signatureOf
from ugate.tenancy.serverfiles import Pair, pairsIn, readPair

_WARN_EVERY: Final = 60.0
"""Seconds between looks at how long all of them are good."""


def wildcardOf(name: str) -> str:
    """
    The wildcard that would mean a name: a star stands for its first label (RFC 9525, 6.3).
    """
    return f"*.{name.partition('.')[2]}"


class Served:
    """
    One certificate, and what connections are made of by it.

    @ivar pair: where it is.
    @ivar keypair: it, with its key.
    @ivar names: what it is for.
    @ivar contexts: contexts of OpenSSL, by what they are for.
    @since: ugate NEXT
    """

    __slots__ = ("contexts", "expiry", "keypair", "names", "pair")

    def __init__(self, pair: Pair, keypair: Keypair, names: Sequence[str], log: Logger) -> None:
        self.pair = pair
        self.keypair = keypair
        self.names = tuple(names)
        self.contexts: dict[Any, Any] = {}
        self.expiry = Expiry(str(pair), log)

    def __str__(self) -> str:
        ends = self.keypair.certificate.not_valid_after_utc.isoformat()
        return f"{self.pair}, for {', '.join(self.names)}, good until {ends}"


class ServerCertificates:
    """
    Those of a folder.  It is looked at again and again: what changed there is read, and what cannot be
    used is told in the log, while the one that was there before stays.

    @ivar folder: where they are.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, folder: str, path: str = ROOT, now: Callable[[], float] = time.time) -> None:
        """
        @param path: the tenant whose they are.
        @param now: the time of day.
        """
        self.folder = folder
        self.path = path
        self._now = now
        self._seen: dict[Pair, object] = {}
        self._served: dict[Pair, Served] = {}
        self._byName: dict[str, Served] = {}
        self._told: frozenset[str] = frozenset()
        self._warned = 0.0
        self.look()
        self.log.info(
            "{folder}: {count} certificates for servers of {tenant}",
            folder=folder,
            count=len(self._served),
            tenant=path,
        )

    @property
    def all(self) -> Sequence[Served]:
        """
        All that can be used.
        """
        return tuple(self._served.values())

    def find(self, name: str, own: Sequence[str] = ()) -> Served | None:
        """
        The one that has a name, or else the one whose wildcard means it.

        @param name: in small letters.
        @param own: names of another certificate, which comes before a wildcard.
        """
        found = self._byName.get(name)
        if found is None and name not in map(str.lower, own):
            found = self._byName.get(wildcardOf(name))
        return found

    def look(self) -> None:
        """
        See what changed.
        """
        try:
            pairs, wrong = pairsIn(self.folder)
        except UgateError as error:
            self._tell([f"{error}; the certificates from before stay"])
            return
        self._tell(wrong)
        hadSome = bool(self._seen)
        isOther = False
        for pair in pairs:
            signature = signatureOf({pair.key, pair.chain})
            if self._seen.get(pair) != signature:
                self._seen[pair] = signature
                isOther |= self._read(pair, hadSome)
        for pair in self._seen.keys() - set(pairs):
            del self._seen[pair]
            if self._served.pop(pair, None) is not None:
                isOther = True
                self.log.info("{path}: this certificate is there no more", path=str(pair))
        if isOther:
            self._warned = 0.0
            self._sort()
        self._warn()

    def _tell(self, wrong: Sequence[str]) -> None:
        """
        Say what is wrong, once as long as it is.
        """
        for sentence in wrong:
            if sentence not in self._told:
                self.log.error("{tenant}: {sentence}", tenant=self.path, sentence=sentence)
        self._told = frozenset(wrong)

    def _read(self, pair: Pair, isChange: bool) -> bool:
        """
        @return: whether there is another one now.
        """
        from OpenSSL.SSL import Error

        from ugate.tenancy.identitytls import contextOf

        before = self._served.get(pair)
        try:
            keypair, names = readPair(pair)
            served = Served(pair, keypair, names, self.log)
            try:
                # What OpenSSL does not take, such as a weak signature, is found here and not by a client.
                contextOf(keypair, (), isServer=True, ask=False)
            except Error as error:
                said = "; ".join(str(each[-1]) for each in error.args[0]) if error.args else ""
                raise UgateError(f"{pair}: OpenSSL does not take it: {said}; wanted another one") from error
        except UgateError as error:
            stays = "" if before is None else "; the one from before stays"
            self.log.error("{tenant}: {error}{stays}", tenant=self.path, error=error, stays=stays)
            return False
        self._served[pair] = served
        if isChange:
            self.log.info(
                "The certificate of a server was read: {served}",
                served=str(served),
            )
        return True

    def _sort(self) -> None:
        """
        Of two for one name, the one that is good for longer, if it is good already.
        """
        now = self._now()

        def rank(served: Served) -> tuple[bool, float]:
            certificate = served.keypair.certificate
            begun = certificate.not_valid_before_utc.timestamp() <= now
            return begun, certificate.not_valid_after_utc.timestamp()

        ranked = sorted(self._served.values(), key=rank)
        self._byName = {name: served for served in ranked for name in served.names}

    def _warn(self) -> None:
        now = self._now()
        if abs(now - self._warned) < _WARN_EVERY:
            return
        self._warned = now
        for served in self._served.values():
            served.expiry.look(served.keypair.certificate, now)
