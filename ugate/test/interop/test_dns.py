# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The resolver, with C{dig} and C{curl} before it, and dnsmasq, unbound and servers that misbehave behind it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

from ugate.test.dnsfakes import said
from ugate.test.docpages import blocks, page, section
from ugate.test.interop.peers import microsocks
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, freePort, program, waitUntil
from ugate.test.interop.targets import Certificate, webServer

KEYID = "BOB4CVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
CONFIG = """\
listen:
  main: "socks:tcp:0:interface=127.0.0.1"
  questions: 'udp:{flows}:interface=127.0.0.1:to=203.0.113.53\\:53'
routes: [{{match: "*:53", via: dns}}]
policy: {{rules: [{{action: allow}}]}}
nodes: {{bob: {{keyid: {keyid}, names: ["fd00::1234"]}}}}
dns:
  main:
    listen: "127.0.0.1:{port}"
    hosts: {{printer.home: [192.168.1.9, "fd00:1::9"], web.example: 127.0.0.1}}
{more}
"""


class DnsTestCase(InteropTestCase):
    """
    A gateway that resolves names.
    """

    def resolver(self, more: str, before: str = "", **options: dict[str, str]) -> Gateway:
        """
        Start it.

        @param more: what is in its section beside.
        @param before: what is in its configuration beside.
        """
        self.port, self.flows = freePort(), freePort()
        self.text = before + CONFIG.format(keyid=KEYID, port=self.port, flows=self.flows, more=more)
        self.path = self.write("dns.yaml", self.text)
        gateway = self.ugate("--config", str(self.path), listen="", **options)  # type: ignore[arg-type]
        gateway.waitFor("DNS on")
        return gateway

    def dig(self, *arguments: str) -> str:
        """
        What C{dig} says.
        """
        dig = program("dig", "bind9-dnsutils")
        options = ("-p", str(self.port), "+time=5", "+tries=1", f"@{HOST}")
        return self.finish([dig, *options, *arguments]).stdout.decode()

    def short(self, *arguments: str) -> list[str]:
        """
        The records that it prints.
        """
        return sorted(self.dig("+short", *arguments).split())

    def code(self, *arguments: str) -> str:
        """
        How it went.
        """
        _, _, rest = self.dig(*arguments).partition("status: ")
        return rest.partition(",")[0]


def dnsmasq(test: InteropTestCase, *records: str) -> int:
    """
    A server that knows some names.

    @return: its port.
    """
    port = freePort()
    options = [
        "-k",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
        "--user=",
        f"--port={port}",
        "--local-ttl=300",
    ]
    listen = ["--bind-interfaces", f"--listen-address={HOST}", "--except-interface=none", "--log-queries"]
    test.serve([program("dnsmasq", "dnsmasq-base"), *options, *listen, *records], port)
    return port


class DigTests(DnsTestCase):
    """
    What people ask.
    """

    def test_all(self) -> None:
        """
        Names of all sorts, by datagrams and connections, from here and from two servers; what cannot be; and
        a reload in between.
        """
        big = ",".join("x" * 200 + str(number) for number in range(12))
        here = dnsmasq(self, "--address=/up.example/192.0.2.77", f"--txt-record=big.example,{big}")
        there = dnsmasq(self, "--address=/corp.example/192.0.2.78")
        hop = microsocks(self)
        self.resolver(
            f"    upstreams: ['udp:{HOST}:{here}', "
            f"{{to: 'udp:{HOST}:{there}', domains: corp.example, via: 'socks:{HOST}:{hop}'}}]"
        )
        self.assertEqual(["192.0.2.77"], self.short("a.up.example"))
        self.assertEqual(["192.0.2.77"], self.short("A.UP.example", "+tcp"))
        self.assertEqual(["192.0.2.78"], self.short("x.corp.example"))
        self.assertEqual(["192.168.1.9"], self.short("printer.home"))
        self.assertEqual(["fd00:1::9"], self.short("printer.home", "AAAA"))
        self.assertEqual(["printer.home."], self.short("-x", "192.168.1.9"))
        self.assertEqual(["fd00::1234"], self.short(f"{KEYID}.default.cluster.local", "AAAA"))
        self.assertEqual(["bob."], self.short("-x", "fd00::1234"))
        self.assertIn("(TCP)", self.dig("big.example", "TXT"))
        self.assertEqual(["192.168.1.9"], self.short("-p", str(self.flows), "printer.home"))
        self.assertIn("flags: qr tc rd ra;", self.dig("big.example", "TXT", "+ignore"))
        for code, *arguments in (
            ("NXDOMAIN", "printer.local"),
            ("NXDOMAIN", "x.onion"),
            ("REFUSED", "version.bind", "CH", "TXT"),
            ("NOTIMP", "up.example", "+opcode=notify", "+noedns"),
            ("BADVERS", "up.example", "+edns=1", "+noednsneg"),
            ("SERVFAIL", "unknown.example.com"),
        ):
            self.assertEqual(code, self.code(*arguments), arguments)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as garbage:
            for size in range(0, 600, 7):
                garbage.sendto(bytes(size) + b"\xff" * size, (HOST, self.port))
        self.path.write_text(self.text.replace("printer.home", "scanner.home"))
        waitUntil(lambda: self.short("scanner.home") == ["192.168.1.9"], "the reload")
        self.assertEqual(["192.168.1.9"], self.short("scanner.home", "+tcp"))
        self.assertEqual(["192.0.2.77"], self.short("a.up.example"))


class UnboundTests(DnsTestCase):
    """
    Servers in TLS.
    """

    def unbound(self) -> tuple[int, int, Path]:
        """
        One that is asked in TLS and by HTTPS.

        @return: its ports, and its certificate.
        """
        own = Certificate(self.directory)
        tls, https, plain = freePort(), freePort(), freePort()
        config = self.write(
            "unbound.conf",
            f"server:\n interface: {HOST}@{plain}\n interface: {HOST}@{tls}\n interface: {HOST}@{https}\n"
            f" tls-port: {tls}\n https-port: {https}\n tls-service-key: {self.directory}/key.pem\n"
            f" tls-service-pem: {own.path}\n use-syslog: no\n username: ''\n chroot: ''\n directory: ''\n"
            " do-daemonize: no\n pidfile: ''\n module-config: iterator\n access-control: 127.0.0.0/8 allow\n"
            " local-zone: example. static\n local-data: 'a.tls.example. 60 A 192.0.2.1'\n"
            " local-data: 'b.tls.example. 60 A 192.0.2.2'\n local-data: 'a.https.example. 60 A 192.0.2.3'\n"
            " local-data: 'b.https.example. 60 A 192.0.2.4'\n",
        )
        self.serve([program("unbound"), "-d", "-c", config], tls)
        return tls, https, own.path

    def test_inTLS(self) -> None:
        """
        One is asked in TLS and in HTTP/2, straight and through a proxy, if it proves its name.
        """
        tls, https, roots = self.unbound()
        hop = microsocks(self)
        ways = (
            f"to: 'tls:localhost:{tls}', address: {HOST}, domains: tls.example",
            f"to: 'https://localhost:{https}/dns-query', via: 'socks:{HOST}:{hop}', domains: https.example",
            f"to: 'tls:other.example:{tls}', address: {HOST}, domains: wrong.example",
            f"to: 'https://other.example:{https}/dns-query', address: {HOST}, domains: wrong.example",
        )
        upstreams = "".join(f"      - {{{way}}}\n" for way in ways)
        gateway = self.resolver(f"    upstreams:\n{upstreams}", env={"SSL_CERT_FILE": str(roots)})
        self.assertEqual(["192.0.2.1"], self.short("a.tls.example"))
        self.assertEqual(["192.0.2.2"], self.short("b.tls.example"))
        self.assertEqual(["192.0.2.3"], self.short("a.https.example"))
        self.assertEqual(["192.0.2.4"], self.short("b.https.example"))
        self.assertEqual("NXDOMAIN", self.code("c.https.example"))
        self.assertEqual("SERVFAIL", self.code("a.wrong.example"))
        said = gateway.said()
        self.assertEqual(2, said.count("its certificate is for another name"), said)


class InTLSTests(InteropTestCase):
    """
    Who asks in TLS.
    """

    def test_listing(self) -> None:
        """
        What the page shows serves a client that wants to see a certificate for the name of the resolver.
        """
        own, port = Certificate(self.directory), freePort()
        (self.directory / "servers").mkdir()
        self.write("servers/localhost.pem", own.path.read_text() + (self.directory / "key.pem").read_text())
        (listing,) = blocks(section(page("dns"), "Questions in TLS"), "yaml")
        for here, there in (
            ("tcp:853", f"tcp:{port}:interface={HOST}"),
            ("main: {", "main: {listen: [], "),
            ("/etc/ugate", str(self.directory)),
        ):
            listing = listing.replace(here, there)
        path = self.write("dot.yaml", listing)
        gateway = self.ugate("--config", str(path), listen="")
        gateway.waitFor("dot: listening")
        kdig = [program("kdig", "knot-dnsutils"), f"@{HOST}", "-p", str(port), "+tls-hostname=localhost"]
        # Both on one connection.
        questions = ["printer.home", "A", "printer.home", "AAAA"]
        said = self.finish([*kdig, f"+tls-ca={own.path}", "+keepopen", *questions]).stdout.decode()
        self.assertIn("192.168.1.9", said)
        self.assertEqual(2, said.count("status: NOERROR"), said)
        gateway.waitFor("resolver:53 via dns mtls")
        said = self.finish([*kdig, "+tls-ca", *questions]).stdout.decode()
        self.assertNotIn("192.168.1.9", said)


class Stub:
    """
    A server that answers datagrams as it likes.
    """

    def __init__(self, test: InteropTestCase, answers: Callable[[bytes], list[bytes]]) -> None:
        """
        @param answers: what it sends for a question.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self.asked = 0
        self._answers = answers
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        test.addCleanup(self._end)

    def _run(self) -> None:
        while True:
            data, asker = self._socket.recvfrom(4096)
            if not data:
                return
            self.asked += 1
            for answer in self._answers(data):
                self._socket.sendto(answer, asker)

    def _end(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (HOST, self.port))
        self._thread.join()
        self._socket.close()


def _good(question: bytes) -> bytes:
    return said(question, "a.bad.example 60 A 192.0.2.1")


def _tricky(question: bytes) -> list[bytes]:
    """
    Somebody guesses, before the answer comes.
    """
    other = said(question[:2] + question[2:].replace(b"\x03bad", b"\x03bed"), "a.bed.example 60 A 192.0.2.66")
    evil = said(question, "a.bad.example 60 A 192.0.2.66")
    return [bytes([evil[0] ^ 1]) + evil[1:], other, question, b"x", _good(question)]


class MisbehavingTests(DnsTestCase):
    """
    Servers that are dead, slow, or lie.
    """

    def test_next(self) -> None:
        """
        With a server that is silent and one where nobody listens, the third answers: in time, and the next
        time at once.  What others guess is not believed.
        """
        silent, good = Stub(self, lambda question: []), Stub(self, _tricky)
        upstreams = [f"udp:{HOST}:{port}" for port in (silent.port, freePort(), good.port)]
        gateway = self.resolver(f"    upstreams: {upstreams}")
        self.assertEqual(["192.0.2.1"], self.short("a.bad.example"))
        gateway.waitFor("connection refused")
        gateway.waitFor("no answer in 1.2 s")
        asked = silent.asked
        self.assertEqual(["192.0.2.1"], self.short("a.bad.example", "+dnssec"))
        self.assertEqual(asked, silent.asked)

    def test_stale(self) -> None:
        """
        What is too old is given when nobody answers any more.
        """
        isUp = True

        def answers(question: bytes) -> list[bytes]:
            return [_good(question).replace(b"\0\0\0\x3c", b"\0\0\0\x01")] if isUp else []

        stub = Stub(self, answers)
        self.resolver(f"    upstreams: 'udp:{HOST}:{stub.port}'\n    stale: 3600")
        self.assertEqual(["192.0.2.1"], self.short("a.bad.example"))
        isUp = False
        time.sleep(1.1)
        answer = self.dig("a.bad.example")
        self.assertIn("a.bad.example.\t\t30\tIN\tA\t192.0.2.1", answer)


class CurlTests(DnsTestCase):
    """
    Who asks by HTTPS, and streams for names.
    """

    def curl(self, *arguments: str) -> str:
        """
        What came.
        """
        return self.finish([program("curl"), "-sS", "--max-time", "20", *arguments]).stdout.decode()

    def test_all(self) -> None:
        """
        curl asks for a name by HTTPS; and reaches a name by the address that was made up for it.
        """
        own = Certificate(self.directory)
        web, https = webServer(self, "here"), freePort()
        real = Stub(self, lambda question: [said(question, "a.fake.example 60 A 127.0.0.1")])
        key = self.directory / "key.pem"
        endpoint = f"ssl:{https}:privateKey={key}:certKey={own.path}:interface={HOST}"
        gateway = self.resolver(
            "    resolve: true\n    fake: 198.18.0.0/15\n    fakeFor: '*.fake.example'\n"
            f"    upstreams: 'udp:{HOST}:{real.port}'\n",
            f"http: {{tls: {{endpoint: '{endpoint}', serve: modules}}}}\n",
        )
        url = f"https://{HOST}:{https}/dns-query"
        page = self.curl("--doh-url", url, "--doh-insecure", f"http://web.example:{web.port}/")
        self.assertIn("here", page)
        (address,) = self.short("a.fake.example")
        self.assertEqual((True, 0), (ip_address(address) in ip_network("198.18.0.0/15"), real.asked))
        page = self.curl("--socks5", f"{HOST}:{gateway.port}", f"http://{address}:{web.port}/")
        self.assertIn("here", page)
        gateway.waitFor(f"-> a.fake.example:{web.port}")
