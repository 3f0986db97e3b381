# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The recipes of the documentation do what they say: their configurations carry streams, and their programs run,
in a network in memory.
"""

from __future__ import annotations

import os
import re
import ssl
from contextlib import redirect_stdout
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.web.client import URI

from ugate.errors import Cause, Denied, Refused
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import hostOf, keyidOf
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.tenancy.tokens import Token, makeToken
from ugate.test import test_clienthello as offers
from ugate.test.docpages import CERTS, LISTINGS, SERVERS, USERS, Pages, listing
from ugate.test.mtlsfakes import Talk
from ugate.test.tlsfakes import Issuer
from ugate.testing import Client, Conversation, Conversations, MemoryMesh, Refuse

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PUBLIC: Final = "93.184.216.34"
OPEN: Final = {"open": True}
TOKENS: Final = "/etc/ugate/tokens"
CERTIFICATES: Final = "/etc/ugate/certificates"


def clientHello(name: str) -> bytes:
    """
    What a TLS client says first.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class HowtoTests(Pages):
    """
    The network of a recipe.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mesh = MemoryMesh()
        self.here = self.mesh.client("here")
        self.token = makeToken()

    def gateway(self, name: str, host: str = "here") -> None:
        """
        Start a gateway with the configuration of a recipe.
        """
        text = listing(name).replace(USERS, self.users()).replace(TOKENS, self.tokens())
        self.mesh.gateway(host, **yaml.safe_load(text))

    def users(self) -> str:
        """
        A password file with Alice and Bob, who say sesame.
        """
        path = Path(self.mktemp())
        path.touch(0o600)
        known = PasswordHash.ofPassword(b"sesame", ln=10)
        path.write_text(f"alice:{known}\nbob:{known}\n")
        self.patch(
            os, "environ", {**os.environ, "WORD": "sesame", "WRONG": "abracadabra", "TOKEN": self.token}
        )
        return str(path)

    def tokens(self) -> str:
        """
        A file with the token of a program.
        """
        path = Path(self.mktemp())
        path.write_text(f"{Token('ci', sha256(self.token.encode()).digest())}\n")
        return str(path)

    def proxy(self, host: str, endpoint: str) -> str:
        """
        Start somebody's proxy.

        @return: the address by which it connects.
        """
        rules = {"rules": [{"action": "allow"}]}
        self.mesh.gateway(host, listen={"main": {"endpoint": endpoint, **OPEN}}, policy=rules)
        return self.mesh.host(host).addresses[0]

    def service(self, host: str, port: int) -> Conversations:
        """
        Start what streams go to.
        """
        served = Conversations()
        self.mesh.serve(host, port, served)
        return served

    def ask(self, string: str, client: Client | None = None, hello: bytes = b"") -> Conversation:
        """
        Open a stream, and see it open.
        """
        stream = (client or self.here).connect(string, hello)
        self.mesh.flush()
        self.assertTrue(stream.isOpen, f"{string}: {stream.failure or stream.lost}")
        return stream

    def refused(self, string: str, client: Client | None = None) -> Refused:
        """
        Open a stream, and see it refused.
        """
        stream = (client or self.here).connect(string)
        self.mesh.flush()
        assert stream.failure is not None and isinstance(stream.failure.value, Refused), string
        return stream.failure.value

    def whoAsked(self, served: Conversations) -> str:
        """
        The address that the last stream came from.
        """
        peer: Any = served.last.transport
        return str(peer.getPeer().host)


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

    def certified(self, issuer: Issuer, *names: str) -> str:
        """
        A folder with a key, its certificate and the root, as Istio mounts it.
        """
        folder = Path(self.mktemp())
        issuer.write(folder, *names)
        return str(folder)

    def test_mutual(self) -> None:
        """
        Who has the right certificate gets where the rule leads; nobody else does, and no other gate will do.
        """
        self.certifiedWays("mutual.yaml", "sidecar.yaml")

    def test_hbone(self) -> None:
        """
        The same when all streams share one connection, which they do.
        """
        self.certifiedWays("hbone-gate.yaml", "hbone-side.yaml")
        links = [each for each in self.mesh.connections("gate.corp.example") if ":15008" in each]
        self.assertEqual(2, len(links), links)

    def certifiedWays(self, there: str, here: str) -> None:
        """
        A gate, and those who come to it.
        """
        self.service("db.corp.example", 5432)
        root, other = Issuer("root"), Issuer("other")
        spiffe = "spiffe://corp.example/ns/"
        gate = self.certified(root, "gate.corp.example", f"{spiffe}edge/sa/gate")
        self.mesh.gateway("gate.corp.example", **yaml.safe_load(listing(there).replace(CERTS, gate)))
        asked = r"socks:127.0.0.1:1080:to=db.corp.example\:"
        for host, issuer, account, may in (
            ("web", root, "shop/sa/web", True),
            ("mail", root, "shop/sa/mail", False),
            ("stranger", other, "shop/sa/web", False),
        ):
            client = self.mesh.client(host)
            folder = self.certified(issuer, host, spiffe + account)
            text = listing(here).replace(CERTS, folder)
            self.mesh.gateway(host, **yaml.safe_load(text))
            if may:
                self.ask(asked + "5432", client)
                self.refused(asked + "22", client)
            else:
                self.refused(asked + "5432", client)

    def test_mesh(self) -> None:
        """
        Alice reaches what bob serves by his name and by that of his key, and nothing else; nobody else does.
        """
        web = Conversations()
        self.mesh.serve("bob.example", 8080, web, "127.0.0.1")
        keys: dict[str, str] = {}
        nodes: dict[str, Any] = {}
        for name in ("alice", "bob", "mallory"):
            folder = self.mktemp()
            keys[name] = keyidOf(Own(folder, Identity()).load().certificate.public_key())
            nodes[name] = {"node": {"state": folder}}
        known = dict.fromkeys(re.findall("[A-Z2-7]{52}", listing("alice.yaml") + listing("bob.yaml")))
        for name, host in (("bob", "bob.example"), ("alice", "alice"), ("mallory", "mallory")):
            text = listing("bob.yaml" if name == "bob" else "alice.yaml")
            for written, each in zip(known, ("bob", "alice"), strict=True):
                text = text.replace(written, keys[each]).replace(written.lower(), keys[each].lower())
            self.mesh.gateway(host, **yaml.safe_load(text), **nodes[name])
        alice, mallory = self.mesh.client("alice"), self.mesh.client("mallory")
        for number, host in enumerate(("bob", hostOf(keys["bob"])), 1):
            self.ask(rf"socks:127.0.0.1:1080:to={host}\:80", alice)
            self.assertEqual(number, len(web.accepted))
        self.refused(r"connect:127.0.0.1:1080:to=bob\:8080", alice)
        self.refused(r"socks:127.0.0.1:1080:to=bob\:80", mallory)

    def test_private(self) -> None:
        """
        Clients of a gate reach bob's web server by TLS that ends at bob, and nobody in his place.
        """
        web = Conversations()
        self.mesh.serve("bob", 8080, web, "127.0.0.1")
        folders = {name: self.mktemp() for name in ("gate.example", "bob", "mallory")}
        certificates = {name: Own(each, Identity()).load().certificate for name, each in folders.items()}
        keys = {name: keyidOf(each.public_key()) for name, each in certificates.items()}
        for name, folder in folders.items():
            text = listing("ready-gate.yaml" if name == "gate.example" else "ready-node.yaml")
            text = re.sub("[A-Z2-7]{52}", keys["bob"], text)
            self.mesh.gateway(name, **yaml.safe_load(text), node={"state": folder})
        self.mesh.advance(1)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
        client = self.mesh.client("client")
        name = hostOf(keys["bob"])
        talk = Talk(self.mesh, client.connect("tcp:gate.example:443"), context, name)
        talk.send(b"question")
        self.assertEqual(b"question", web.last.received)
        shown = talk.connection.get_peer_certificate()
        assert shown is not None
        self.assertEqual(certificates["bob"], shown.to_cryptography())
        self.assertEqual(1, len(web.accepted))
        other = client.connect("tcp:gate.example:443", clientHello(hostOf(keys["mallory"])))
        self.mesh.flush()
        self.assertEqual(1, len(web.accepted))
        self.assertEqual(alertRecord(Alert.UNRECOGNIZED_NAME), other.received)

    def test_behind(self) -> None:
        """
        A header is wanted, and a password too, although the listener is on loopback.
        """
        self.service("www.example", 80)
        self.gateway("behind.yaml")
        hop = "socks:127.0.0.1:1081"
        target = "tcp:www.example:80"
        login = "user=alice:passwordEnv=WORD"
        self.ask(f"direct:proxyproto=v2 -> {hop}:{login} -> {target}")
        refused = self.refused(f"direct:proxyproto=v1 -> {hop} -> {target}")
        self.assertIs(Cause.AUTHENTICATION, refused.cause)
        self.assertIs(Cause.PEER_CLOSED, self.refused(f"{hop}:{login} -> {target}").cause)


class ProgramTests(HowtoTests):
    """
    The recipes that are programs.
    """

    def program(self, name: str) -> ModuleType:
        """
        A listing, as a module.
        """
        spec = spec_from_file_location(f"listing_{name}", LISTINGS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_compile(self) -> None:
        """
        There is no program that these tests do not know.
        """
        found = {path.stem for path in LISTINGS.glob("*.py")}
        self.assertEqual({"fetch", "anyhost", "answer", "chains", "test_example", "test_links"}, found)

    def _fetch(self, name: str, way: str, url: str) -> str:
        """
        What a program prints that fetches a page.
        """
        out = StringIO()
        main = self.program(name).main
        with redirect_stdout(out):
            done = Deferred.fromCoroutine(main(self.mesh.host("app").reactor, way, url))
            self.mesh.flush()
            self.site.last.write(OK)
            self.mesh.flush()
        self.assertIsNone(self.successResultOf(done))
        return out.getvalue()

    def test_fetch(self) -> None:
        """
        C{fetch.py} goes straight, through a proxy, and through a chain of them, by its string alone.
        """
        self.site = self.service("example.com", 80)
        self.proxy("a", "socks:tcp:1080")
        proxy = self.proxy("b", "connect:tcp:3128")
        for string in (
            "tcp:example.com:80",
            r"socks:a:1080:to=example.com\:80",
            "socks:a:1080 -> connect:b:3128 -> tcp:example.com:80",
        ):
            self.assertEqual("200 hello\n", self._fetch("fetch", string, "http://example.com/"), string)
        self.assertEqual(proxy, self.whoAsked(self.site))

    def test_anyHost(self) -> None:
        """
        C{anyhost.py} asks the proxy for the host of each URL.
        """
        self.site = self.service("example.com", 8080)
        proxy = self.proxy("a", "socks:tcp:1080")
        self.assertEqual("200 hello\n", self._fetch("anyhost", "socks:a:1080", "http://example.com:8080/"))
        self.assertEqual(proxy, self.whoAsked(self.site))

    def test_anyHostTLS(self) -> None:
        """
        With C{https} there is TLS over it.
        """
        through = self.program("anyhost").Through(MemoryReactorClock(), "socks:a:1080")
        plain = through.endpointForURI(URI.fromBytes(b"http://example.org/"))
        secret = through.endpointForURI(URI.fromBytes(b"https://example.org/"))
        self.assertIs(type(plain), type(secret._wrappedEndpoint))

    def test_answer(self) -> None:
        """
        C{answer.py} is a proxy that tells where one wanted to go, and knows no mail.
        """
        reactor = self.mesh.host("here").reactor
        running = Deferred.fromCoroutine(self.program("answer").main(reactor, "auto:tcp:1080"))
        self.mesh.flush()
        other = self.mesh.client("other")
        for prefix, name in (("socks", "socks5"), ("socks4", "socks4"), ("connect", "connect")):
            stream = other.connect(rf"{prefix}:here:1080:to=www.example\:80")
            self.mesh.flush()
            self.assertEqual(f"{name} to www.example:80\n".encode(), stream.received)
            self.assertTrue(stream.isClean)
        self.assertIs(Cause.DENIED, self.refused(r"socks:here:1080:to=www.example\:25", other).cause)
        self.assertNoResult(running)

    def test_chains(self) -> None:
        """
        C{chains.py} prints what is beside it.
        """
        out = StringIO()
        with redirect_stdout(out):
            self.program("chains")
        shown = re.findall(r"^# (.*)$", listing("chains.py"), re.MULTILINE)
        self.assertEqual(shown, out.getvalue().splitlines())
