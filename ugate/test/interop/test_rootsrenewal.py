# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Roots that are exchanged under load: who is certified by one that stays, or came, is never refused; who is by
one that is gone is, and what is up goes on.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from ugate.test.interop.asking import connected
from ugate.test.interop.domains import TrustDomain
from ugate.test.interop.processes import HOST, LOOPBACK, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, echo, readExactly
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase
from ugate.test.interop.test_mtlsrenewal import Load

_SMALL = BLOCK[:1000]


class RootsTests(DomainTestCase):
    """
    A gate that believes first one root, then two, and then only the other.
    """

    limit = 60.0

    def setUp(self) -> None:
        super().setUp()
        self.next = TrustDomain(self.directory)
        self.roots = self.directory / "roots.pem"
        self.believe(self.domain)
        target = StreamServer(self, echo)
        self.gateway = self.ugate(
            config=f"identity: {{dir: {self.domain.istio('gate', self.server)}}}\n"
            f"trust: {{domain: {self.domain.name}, namespaces: [shop], roots: {self.roots}}}\n"
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{target.port}"}}}}\n'
            "policy: {rules: [{who: 'certificate:*', action: allow}]}\n",
        )

    def believe(self, *domains: TrustDomain) -> None:
        """
        Exchange the file of roots, as a whole.
        """
        other = Path(f"{self.roots}.next")
        other.write_bytes(b"".join(each.root.pem() for each in domains))
        os.replace(other, self.roots)

    def client(self, domain: TrustDomain) -> Callable[[], ssl.SSLSocket]:
        """
        Makes connections of a member of that.
        """
        context = ssl.create_default_context(cafile=str(self.domain.roots))
        context.load_cert_chain(domain.pem(f"client-{id(domain)}", domain.member("client")))

        def begin() -> ssl.SSLSocket:
            return context.wrap_socket(connected(self.gateway.port), server_hostname=NAME)

        return begin

    def exchange(self, stream: ssl.SSLSocket) -> None:
        """
        Send something, and get it back.
        """
        stream.sendall(_SMALL)
        self.assertEqual(readExactly(stream, len(_SMALL)), _SMALL)

    def once(self, begin: Callable[[], ssl.SSLSocket]) -> Callable[[], None]:
        """
        One connection.
        """

        def do() -> None:
            with begin() as stream:
                self.exchange(stream)

        return do

    def succeeds(self, once: Callable[[], None]) -> bool:
        """
        Whether the gate takes such a connection.
        """
        try:
            once()
        except OSError:
            return False
        return True

    def test_exchanged(self) -> None:
        """
        Nobody is refused before it has to be.
        """
        begin = self.client(self.domain)
        before, after = self.once(begin), self.once(self.client(self.next))
        with begin() as long:
            olds, always = Load(before), Load(lambda: self.exchange(long))
            loads = [olds, always]
            try:
                olds.more(10)
                self.assertFalse(self.succeeds(after))
                self.gateway.waitFor("leads to none of our roots")
                self.believe(self.domain, self.next)
                waitUntil(lambda: self.succeeds(after), "that the new root is believed")
                news = Load(after)
                loads.append(news)
                for each in loads:
                    each.more(20)
                olds.end()
                self.believe(self.next)
                waitUntil(lambda: not self.succeeds(before), "that the old root is believed no more")
                for each in (news, always):
                    each.more(20)
            finally:
                for each in loads:
                    each.end()
            self.exchange(long)
        for each in loads:
            self.assertEqual([], each.failures)
