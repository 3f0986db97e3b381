# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The recipes of the documentation do what they say: their configurations carry streams, in a network in memory.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from twisted.logger import capturedLogs

from ugate.errors import Cause, Denied
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.tenancy.tokens import makeToken
from ugate.test import hellofakes as offers
from ugate.test.docpages import SERVERS, listing
from ugate.test.howtofakes import CERTIFICATES, PUBLIC, HowtoTests, clientHello
from ugate.test.mtlsfakes import Talk
from ugate.test.tlsfakes import Issuer
from ugate.testing import Refuse


class ConfigurationTests(HowtoTests):
    """
    The recipes that are a configuration.
    """

    def test_corporate(self) -> None:
        """
        What is inside is reached at once, all else by the proxy, or without it if it is gone; and no mail.
        """
        self.patch(os, "environ", {**os.environ, "PROXY_PASSWORD": "secret"})
        proxy = self.proxy("proxy.corp.example", "connect:tcp:3128")
        inside, outside = self.service("wiki.corp.example", 443), self.service("www.example", 443)
        self.gateway("corporate.yaml")
        (me,) = self.mesh.host("here").addresses
        self.ask(r"socks:127.0.0.1:1080:to=wiki.corp.example\:443")
        self.assertEqual(me, self.whoAsked(inside))
        self.ask(r"connect:127.0.0.1:1080:to=www.example\:443")
        self.assertEqual(proxy, self.whoAsked(outside))
        self.assertIs(Cause.DENIED, self.refused(r"socks:127.0.0.1:1080:to=www.example\:25").cause)
        self.mesh.apply(Refuse(), "here", "proxy.corp.example")
        self.here.connect(r"socks:127.0.0.1:1080:to=www.example\:443")
        self.mesh.advance(2)
        self.assertEqual(me, self.whoAsked(outside))

    def test_onePort(self) -> None:
        """
        TLS, SSH and plain requests go to their servers, and who wants a proxy finds one.
        """
        tls, shell, web = (self.service("here", port) for port in (443, 22, 80))
        far = self.service("far", 5432)
        self.gateway("oneport.yaml")
        for hello, served in (
            (clientHello("localhost"), tls),
            (b"SSH-2.0-x\r\n", shell),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", web),
        ):
            self.ask("tcp:127.0.0.1:8443", hello=hello)
            self.assertEqual(hello, served.last.received)
        for prefix in ("socks", "socks4", "connect"):
            self.ask(rf"{prefix}:127.0.0.1:8443:to=far\:5432")
        self.assertEqual(3, len(far.accepted))

    def test_chain(self) -> None:
        """
        The last proxy of the route's chain is the one that connects.
        """
        self.proxy("gate.example", "socks:tcp:1080")
        far = self.proxy("far.example", "connect:tcp:3128")
        abroad = self.proxy("abroad.example", "socks:tcp:1080")
        away, out = self.service("db.abroad.example", 5432), self.service("www.example", 80)
        self.gateway("chain.yaml")
        self.ask(r"socks:127.0.0.1:1080:to=db.abroad.example\:5432")
        self.ask(r"socks:127.0.0.1:1080:to=www.example\:80")
        self.assertEqual((abroad, far), (self.whoAsked(away), self.whoAsked(out)))

    def test_forward(self) -> None:
        """
        Both ports lead to their place by the office's proxy; only one can be reached by others.
        """
        office = self.proxy("gate.corp.example", "socks:tcp:1080")
        database = self.service("db.corp.example", 5432)
        web = self.service("intranet.corp.example", 80)
        self.gateway("forward.yaml")
        self.ask("tcp:127.0.0.1:15432")
        other = self.mesh.client("other")
        self.ask("tcp:here:8080", other)
        self.assertEqual((office, office), (self.whoAsked(database), self.whoAsked(web)))
        stream = other.connect("tcp:here:15432")
        self.mesh.flush()
        self.assertIsNotNone(stream.failure)

    def test_sni(self) -> None:
        """
        TLS gets to the server that it names, if that is listed and a rule allows it, by the way of its route.
        """
        for number, name in enumerate(("www.example", "a.apps.example", "db.example", "fallback.example")):
            self.mesh.host(name, f"93.184.216.{number + 10}")
        office = self.proxy("gate.corp.example", "socks:tcp:1080")
        web, app = self.service("www.example", 443), self.service("a.apps.example", 443)
        database, fallback = self.service("db.example", 5432), self.service("fallback.example", 443)
        self.gateway("sni.yaml")
        other = self.mesh.client("other")
        for name, served in (
            ("www.example", web),
            ("a.apps.example", app),
            ("outbound_.5432_._.db.example", database),
            ("db.example", database),
        ):
            said = clientHello(name)
            self.ask("tcp:here:8443", other, said)
            self.assertEqual(said, served.last.received)
        self.assertEqual(office, self.whoAsked(app))
        for name in ("outbound_.443_._.db.example", "apps.example", "fallback.example"):
            stream = other.connect("tcp:here:8443", clientHello(name))
            self.mesh.flush()
            self.assertEqual(alertRecord(Alert.UNRECOGNIZED_NAME), stream.received, name)
            self.assertTrue(stream.isClean)
        stream = self.here.connect("tcp:127.0.0.1:9443", clientHello("www.example"))
        self.mesh.flush()
        self.assertEqual(alertRecord(Alert.NO_APPLICATION_PROTOCOL), stream.received)
        for said, served in (
            (offers.hello(offers.sni(b"www.example"), offers.alpn(b"h2")), web),
            (offers.hello(offers.alpn(b"http/1.1")), fallback),
        ):
            self.ask("tcp:127.0.0.1:9443", hello=said)
            self.assertEqual(said, served.last.received)

    def test_port443(self) -> None:
        """
        Some names end here and go on in clear, each to its place, some only with a certificate; and one
        passes through.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        root, carol = Issuer("public"), Issuer("carols").identity("carol")
        for name in ("www.example", "api.example", "*.apps.example"):
            path = folder / f"{name.replace('*', '_')}.pem"
            path.touch(0o600)
            path.write_bytes(root.identity(name).pem())
        known = Path(self.mktemp())
        digest = sha256(carol.certificate.public_bytes(Encoding.DER)).hexdigest()
        known.write_text(f"carol:sha256:{digest}\n")
        text = listing("port443.yaml").replace(SERVERS, str(folder)).replace(CERTIFICATES, str(known))
        self.mesh.gateway("here", **yaml.safe_load(text))
        for host, address in (("apps.internal", "10.0.0.6"), ("mail.internal", "10.0.0.7")):
            self.mesh.host(host, address)
        site, grpc = self.service("here", 8080), self.service("here", 50051)
        apps, mail = self.service("apps.internal", 8000), self.service("mail.internal", 993)
        other = self.mesh.client("other")
        for name, isKnown, alpn, served in (
            ("www.example", False, b"h2", site),
            ("www.example", False, b"", site),
            ("api.example", True, b"h2", grpc),
            ("api.example", True, b"http/1.1", site),
            ("a.apps.example", False, b"", apps),
        ):
            context = carol.context() if isKnown else SSL.Context(SSL.TLS_METHOD)
            if alpn:
                context.set_alpn_protos([alpn])
            before = len(served.accepted)
            talk = Talk(self.mesh, other.connect("tcp:here:443"), context, name).send(b"hello")
            self.assertEqual(("", before + 1), (talk.error, len(served.accepted)), name)
            self.assertTrue(served.last.received.endswith(b"hello"))
            served.last.write(b"welcome")
            self.mesh.flush()
            self.assertEqual(b"welcome", talk.send().received)
            shown: Any = talk.connection.get_peer_certificate(as_cryptography=True)
            self.assertIn(shown.subject.rfc4514_string().removeprefix("CN=").removeprefix("*"), name)
        self.assertTrue(apps.last.received.startswith(b"PROXY TCP4 "))
        anybody = SSL.Context(SSL.TLS_METHOD)
        talk = Talk(self.mesh, other.connect("tcp:here:443"), anybody, "api.example")
        self.assertFalse(talk.stream.isOpen)
        self.assertEqual([3, 1], [len(site.accepted), len(grpc.accepted)])
        said = clientHello("mail.example")
        self.ask("tcp:here:443", other, said)
        self.assertEqual(said, mail.last.received)
        for name in ("apps.example", "else.example"):
            stream = other.connect("tcp:here:443", clientHello(name))
            self.mesh.flush()
            self.assertEqual(alertRecord(Alert.UNRECOGNIZED_NAME), stream.received, name)

    def test_websocket(self) -> None:
        """
        Behind a web server, which connects from the same machine, all have to log in, and get where the rules
        let them.
        """
        self.mesh.host("wiki.corp.example", "10.0.0.5")
        wiki = self.service("wiki.corp.example", 80)
        self.gateway("websocket-gate.yaml")
        hop = "websocket:127.0.0.1:8080:path=/tunnel"
        self.ask(rf"{hop}:user=alice:passwordEnv=WORD:to=wiki.corp.example\:80", hello=b"question")
        self.assertEqual(b"question", wiki.last.received)
        for login, to, cause in (
            ("", r"wiki.corp.example\:80", Cause.AUTHENTICATION),
            (":user=alice:passwordEnv=WRONG", r"wiki.corp.example\:80", Cause.AUTHENTICATION),
            (":user=alice:passwordEnv=WORD", r"www.example\:80", Cause.DENIED),
        ):
            self.assertIs(cause, self.refused(f"{hop}{login}:to={to}").cause)

    def test_lan(self) -> None:
        """
        Others need a password, the machine itself does not, and nobody reaches what is private.
        """
        self.mesh.host("www.example", PUBLIC)
        self.service("www.example", 80)
        self.service("printer", 631)
        self.gateway("lan.yaml")
        other = self.mesh.client("other")
        to = r"to=www.example\:80"
        for prefix in ("socks", "connect"):
            self.ask(rf"{prefix}:here:1080:user=alice:passwordEnv=WORD:{to}", other)
            for login in ("", ":user=alice:passwordEnv=WRONG"):
                refused = self.refused(rf"{prefix}:here:1080{login}:{to}", other)
                self.assertIs(Cause.AUTHENTICATION, refused.cause, (prefix, login))
        self.refused(rf"socks4:here:1080:{to}", other)
        self.ask(rf"socks:127.0.0.1:1081:{to}")
        self.assertIs(Cause.DENIED, self.refused(r"socks:127.0.0.1:1081:to=printer\:631").cause)

    def test_users(self) -> None:
        """
        Each may what the first rule says that fits, and a refusal has the rule that would do.
        """
        for name in ("www.example", "www.example.com", "db.example"):
            self.mesh.host(name, f"93.184.216.{len(name)}")
            for port in (22, 80, 443):
                self.service(name, port)
        self.gateway("users.yaml")
        other = self.mesh.client("other")
        users = {
            "alice": "user=alice:passwordEnv=WORD",
            "bob": "user=bob:passwordEnv=WORD",
            "ci": "user=token:passwordEnv=TOKEN",
        }
        refusal = ""
        for user, prefix, target, may in (
            ("alice", "socks", "db.example\\:22", True),
            ("bob", "socks", "www.example\\:80", True),
            ("bob", "connect", "db.example\\:22", False),
            ("ci", "connect", "www.example\\:443", True),
            ("ci", "socks", "www.example\\:443", False),
            ("ci", "connect", "www.example.com\\:443", False),
            ("alice", "connect", "db.example\\:25", False),
        ):
            string = f"{prefix}:here:1080:{users[user]}:to={target}"
            if may:
                self.ask(string, other)
            else:
                with capturedLogs() as events:
                    self.assertIs(Cause.DENIED, self.refused(string, other).cause, string)
                refusal = refusal or next(
                    str(event["reason"]) for event in events if isinstance(event.get("reason"), Denied)
                )
        self.assertEqual(
            " ".join(listing("users.txt").split()), refusal.replace(refusal.split()[2], "192.0.2.7:40000", 1)
        )
        self.ask(r"socks:127.0.0.1:1081:to=db.example\:22")
        self.assertIs(Cause.DENIED, self.refused(r"socks:127.0.0.1:1081:to=db.example\:25").cause)
        for token, answer in ((self.token, b"200"), (makeToken(), b"407")):
            head = "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n"
            bearer = f"{head}Proxy-Authorization: Bearer {token}\r\n\r\n".encode()
            stream = self.ask("tcp:here:1080", other, bearer)
            self.assertEqual(answer, stream.received.split()[1])
