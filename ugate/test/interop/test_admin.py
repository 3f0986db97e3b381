# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The admin API of a real node: curl, pages of other sites, logins, C{ucli}, and a module of somebody else.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from ugate.test.interop.asking import Answer, connected, curl, isCut, socks5
from ugate.test.interop.processes import CHECKOUT, HOST, Gateway, InteropTestCase, freePort, waitUntil
from ugate.test.interop.targets import Certificate, StreamServer, echo, readExactly

CONFIG = """\
listen:
  main: "auto:tcp:0:interface=127.0.0.1"
http:
  main: {{endpoint: "tcp:{port}:interface=127.0.0.1"}}
  socket: {{endpoint: "unix:{folder}/admin:mode=600"}}
policy:
  tokens: {folder}/tokens
  rules: [{{action: allow}}]
admin:
  ops: {{who: ["token:ops"]}}
  watch: {{who: ["token:watch"], may: look}}
tenants:
  alice:
    hosts: ["*.alice.example"]
    policy: {{tokens: {folder}/alice, rules: [{{action: allow}}]}}
    admin: {{own: {{who: ["token:carol"]}}}}
  bob:
    hosts: ["bob.example"]
    dial: {{secret: "socks:proxy.bob:1080"}}
"""


class AdminCase(InteropTestCase):
    """
    A node with an HTTP port and a folder as its configuration.
    """

    gate: Gateway
    more = ""

    def start(self, config: str = CONFIG, env: dict[str, str] | None = None) -> None:
        """
        Start the node.
        """
        self.http = freePort()
        self.tokens = {name: self.token(*name.split("@")) for name in ("ops", "watch", "carol@alice")}
        folder = self.directory / f"config-{self.http}"
        folder.mkdir()
        text = config.format(port=self.http, folder=self.directory)
        (folder / "main.yaml").write_text(text)
        self.gate = self.ugate("--config", str(folder), listen="", env=env)
        self.config = folder

    def token(self, name: str, tenant: str = "tokens") -> str:
        """
        Make a token, as an operator does.
        """
        done = self.finish([sys.executable, "-m", "ugate.tenancy.tokens", name])
        path = self.directory / tenant
        path.touch(0o600)
        path.write_bytes(path.read_bytes() + done.stdout)
        return done.stderr.decode().strip()

    def ask(self, path: str, *arguments: str | Path, token: str = "") -> Answer:
        """
        Ask by curl.
        """
        path = path if path.startswith("/") else f"/api/v1/{path}"
        login = ["-H", f"Authorization: Bearer {self.tokens[token]}"] if token else []
        return curl(self, *login, *arguments, f"http://{HOST}:{self.http}{path}")

    def ucli(
        self, *arguments: str, status: int = 0, data: str = "", env: dict[str, str] | None = None
    ) -> str:
        """
        Run C{ucli}.

        @return: what it prints on both of its outputs.
        """
        url = {"UGATE_URL": f"http://{HOST}:{self.http}", **(env or {})}
        done = self.finish([sys.executable, "-m", "ugate.cli.main", *arguments], data.encode(), url)
        said = done.stdout.decode() + done.stderr.decode()
        self.assertEqual(status, done.returncode, said)
        return said


class CurlTests(AdminCase):
    """
    curl, for itself and as a browser.
    """

    def test_pages(self) -> None:
        """
        What pages of other sites can make a browser send changes nothing and shows nothing.
        """
        self.start()
        self.assertEqual(200, self.ask("status").status)
        put = ("-X", "PUT", "-H", "Content-Type: application/json", "-d", '{"hops": "socks:evil:1080"}')
        for status, path, arguments in (
            (403, "config/dial/x", (*put, "-H", "Origin: http://evil.example")),
            (403, "config/dial/x", (*put, "-H", "Origin: null")),
            (403, "config/dial/x", (*put, "-H", "Sec-Fetch-Site: cross-site")),
            (421, "config/dial/x", (*put, "-H", "Host: evil.example")),
            (421, "config/dial/x", (*put, "-H", "Host: evil.example", "-H", "Origin: http://evil.example")),
            (401, "config/dial/x", (*put, "-H", "Host: www.alice.example")),
            (401, "config/dial/x", (*put, "-H", "X-Forwarded-For: 192.0.2.1")),
            (415, "config/dial/x", ("-X", "PUT", "-d", "{}")),
            (415, "reload", ("-X", "POST", "-d", "x=1", "-H", "Content-Type: text/plain")),
            (403, "reload", ("-X", "POST", "-H", f"Origin: http://{HOST}:1")),
            (403, "reload", ("-X", "OPTIONS", "-H", "Origin: http://evil.example")),
            (401, "status", ("-H", "Authorization: Bearer nonsense")),
            (404, "config/dial/..%2f..%2fetc%2fpasswd", ()),
            (404, "/api/v1/../../etc/passwd", ("--path-as-is",)),
        ):
            expected = 400 if path == "reload" and status == 415 else status
            answer = self.ask(path, *arguments)
            self.assertEqual(expected, answer.status, (path, arguments, answer.body))
        large = self.write("large", '{"hops": "' + "x" * (2 << 20) + '"}')
        answer = self.ask("config/dial/x", *put[:-1], f"@{large}")
        self.assertEqual(413, answer.status)
        self.assertFalse((self.config / "managed.yaml").exists())
        self.assertEqual(200, self.ask("/metrics").status)
        self.assertEqual("3.1.0", self.ask("/openapi.json").json()["openapi"])

    def test_proxied(self) -> None:
        """
        Nobody comes to the HTTP port through the gateway, where they would seem to be on this machine.
        """
        self.start()
        for scheme in ("socks5h", "http"):
            answer = curl(self, "-x", self.gate.url(scheme), f"http://{HOST}:{self.http}/api/v1/status")
            self.assertNotEqual(200, answer.status)
            self.assertNotIn(b"operator", answer.body)

    def test_fence(self) -> None:
        """
        Who looks after a tenant has that, and neither another one nor the machine.
        """
        self.start()
        carol = {"token": "carol@alice"}
        host = ("-H", "Host: www.alice.example")
        status = self.ask("status", *host, **carol).json()
        self.assertEqual(("token:carol@alice", "alice"), (status["caller"], status["tenant"]))
        for path in ("tenants", "config", "streams", "limits", "listeners", "refusals"):
            answer = self.ask(path, *host, **carol)
            self.assertEqual(200, answer.status)
            self.assertNotIn(b"bob", answer.body)
            self.assertEqual(404, self.ask(f"{path}?tenant=bob", *host, **carol).status)
        for status_, path, section in (
            (404, "config/dial/secret?tenant=bob", {"hops": "socks:x:1"}),
            (403, "config/listen/x", {"endpoint": "socks:tcp:0"}),
            (403, "config/dial/x", {"hops": "socks:x:1:user=x:passwordFile=/etc/shadow"}),
            (403, "config/policy", {"users": "/etc/shadow"}),
            (422, "config/dial/x", {"hops": "socks:x"}),
            (201, "config/dial/x", {"hops": "socks:x:1"}),
        ):
            put = ("-X", "PUT", "-H", "Content-Type: application/json", "-d", json.dumps(section))
            answer = self.ask(path, *host, *put, **carol)
            self.assertEqual(status_, answer.status, (path, answer.body))
        self.assertEqual(403, self.ask("reload", "-X", "POST", *host, **carol).status)
        self.assertEqual(200, self.ask("config/dial/x?tenant=alice", token="watch").status)
        self.assertEqual(403, self.ask("config/dial/x?tenant=alice", "-X", "DELETE", token="watch").status)
        self.assertEqual(200, self.ask("config/dial/x?tenant=alice", "-X", "DELETE", token="ops").status)

    def test_tags(self) -> None:
        """
        Of two who change the same, the second is told.
        """
        self.start()
        body = ("-X", "PUT", "-H", "Content-Type: application/json", "-d", '{"hops": "socks:a:1"}')
        heads = self.directory / "heads"
        self.assertEqual(201, self.ask("config/dial/x", *body, "-D", heads).status)
        (tag,) = [line[6:] for line in heads.read_text().splitlines() if line.lower().startswith("etag: ")]
        body = (*body[:-1], '{"hops": "socks:b:1"}')
        self.assertEqual(200, self.ask("config/dial/x", *body, "-H", f"If-Match: {tag}").status)
        self.assertEqual(412, self.ask("config/dial/x", *body, "-H", f"If-Match: {tag}").status)


class TLSTests(AdminCase):
    """
    A port that others reach.
    """

    def test_login(self) -> None:
        """
        Over TLS a token opens it, for C{ucli} too; without one nobody comes in.
        """
        Certificate(self.directory)
        endpoint = (
            f"ssl:{{port}}:privateKey={self.directory}/key.pem:certKey={self.directory}/certificate.pem"
        )
        self.start(CONFIG.replace("tcp:{port}:interface=127.0.0.1", endpoint))
        url = f"https://localhost:{self.http}"
        trust = ("--cacert", self.directory / "certificate.pem")
        login = ("-H", f"Authorization: Bearer {self.tokens['ops']}")
        for status, arguments in (
            (401, ()),
            (200, login),
            (200, (*login, "-H", f"Origin: {url}")),
            (403, (*login, "-H", f"Origin: http://localhost:{self.http}")),
        ):
            answer = curl(self, *trust, *arguments, f"{url}/api/v1/status")
            self.assertEqual(status, answer.status, answer.body)
        token = str(self.write("ops", self.tokens["ops"]))
        trusting = {"SSL_CERT_FILE": str(trust[1]), "UGATE_URL": url}
        self.assertIn("token:ops@root", self.ucli("--token-file", token, "status", env=trusting))
        self.assertIn("log in", self.ucli("status", status=4, env=trusting))
        self.assertIn("no answer", self.ucli("status", status=3, env={"UGATE_URL": url}))


class CommandTests(AdminCase):
    """
    C{ucli} as people and scripts use it.
    """

    def test_all(self) -> None:
        """
        What a node does is seen and changed.
        """
        self.start()
        self.assertIn("local:operator@root", self.ucli("status"))
        server = StreamServer(self, echo)
        with connected(self.gate.port) as stream:
            socks5(stream, HOST, server.port)
            stream.sendall(b"x" * 1000)
            readExactly(stream, 1000)
            rows = json.loads(self.ucli("streams", "--json"))
            ((number, target),) = [(row["id"], row["target"]) for row in rows]
            self.assertEqual(f"{HOST}:{server.port}", target)
            self.assertIn("no stream", self.ucli("kill", str(number + 1), status=1))
            self.ucli("kill", str(number))
            self.assertTrue(isCut(stream))
        self.ucli("put", "dial", "lab", "-", data="hops: socks:lab:1080")
        self.ucli("put", "routes", "-", data='{match: "*.lab", via: lab}')
        self.assertIn("ask socks:lab:1080", self.ucli("explain", "db.lab:5432"))
        self.assertIn("no dial section", self.ucli("delete", "dial", "lab", status=1))
        self.ucli("tenant", "add", "carl", "--hosts", "carl.example", "--up", "1M")
        self.assertIn("carl", self.ucli("tenants"))
        made = json.loads(self.ucli("token", "erin", "--tenant", "alice", "--json"))
        self.assertTrue(made["stored"])
        self.assertIn(made["line"], (self.directory / "alice").read_text())
        mistaken = self.write("mistaken.yaml", "listen: {main: 5}\n")
        self.assertIn(f"{mistaken}:1:16", self.ucli("check", str(mistaken), status=1))
        self.ucli("reload")
        self.assertIn("mode", self.ucli("--url", f"unix:{self.directory}/admin", "get", "http", "socket"))
        carol = self.write("carol", self.tokens["carol@alice"])
        self.ucli("--token-file", str(carol), "status", status=4)
        watch = self.write("watch", self.tokens["watch"])
        self.assertIn("token:watch", self.ucli("--token-file", str(watch), "status"))
        self.assertIn("may look", self.ucli("--token-file", str(watch), "reload", status=4))
        self.ucli("drain")
        self.assertEqual(0, self.gate.wait())
        self.assertIn("no answer", self.ucli("status", status=3))


ASK = """\
from msgspec import Struct
from twisted.application.service import Service
from twisted.web.client import readBody
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer
from ugate.interfaces import IModule, IServesHTTP
from ugate.modules.agent import ModuleAgent

class Ask(Struct, frozen=True, forbid_unknown_fields=True):
    module: str

class Asking(Resource):
    isLeaf = True

    def __init__(self, tenant, module):
        super().__init__()
        self.tenant, self.module = tenant, module

    def render_GET(self, request):
        def answer(text):
            request.write(text)
            request.finish()

        asked = ModuleAgent(self.tenant).request(b"GET", f"module://{self.module}/".encode())
        asked.addCallback(readBody).addErrback(lambda failure: failure.getErrorMessage().encode())
        asked.addCallback(answer)
        return NOT_DONE_YET

@implementer(IServesHTTP)
class Service(Service):
    isPublic = False

    def __init__(self, tenant, section):
        self.shown = Asking(tenant, section.module)

    def resource(self):
        return self.shown

@implementer(IModule)
class AskModule:
    name, summary, schema = "ask", "asks another module", Ask

    def makeService(self, tenant, name, section):
        return Service(tenant, section)
"""

ASKING = """\
listen: {{main: "auto:tcp:0:interface=127.0.0.1"}}
http: {{main: {{endpoint: "tcp:{port}:interface=127.0.0.1"}}}}
hello: {{near: {{text: Hello}}}}
ask: {{near: {{module: hello/near}}, far: {{module: hello/greeter}}, gone: {{module: hello/gone}}}}
remotes: {{greeter: {{url: "http://127.0.0.1:FAR", token: {{file: {folder}/token}}}}}}
"""


class ModuleTests(AdminCase):
    """
    A module of another package, as C{doc/howto/module.rst} has it.
    """

    def _said(self, *arguments: str) -> tuple[int, str]:
        answer = self.ask("/modules/hello/greeter/", *arguments)
        return answer.status, answer.body.decode()

    def test_found(self) -> None:
        """
        It is found where it is installed, has sections of its own, which apply at once, and shows things.
        """
        package = self.directory / "site"
        shutil.copytree(CHECKOUT / "doc" / "howto" / "listings" / "hello", package)
        text = (package / "hello.yaml").read_text().replace(":1080:", ":0:")
        text = text.replace("{", "{{").replace("}", "}}").replace(":15000:", ":{port}:")
        self.start(text, {"PYTHONPATH": os.pathsep.join([str(package), str(CHECKOUT)])})
        self.assertEqual((200, "Good day from root, operator\n"), self._said())
        self.assertEqual((200, "Hi from alice, stranger\n"), self._said("-H", "Host: alice.example"))
        self.assertEqual(421, self._said("-H", "Host: evil.example")[0])
        self.assertEqual(403, self._said("-H", "Origin: http://evil.example")[0])
        self.assertEqual(401, self._said("-H", "X-Forwarded-For: 192.0.2.1")[0])
        schema: Any = json.loads(self.ucli("schema", "--json"))
        self.assertIn("hello", schema["properties"])
        main = self.config / "main.yaml"
        main.write_text(main.read_text().replace("Good day", "Good night"))
        waitUntil(lambda: self._said() == (200, "Good night from root, operator\n"), "the change applies")
        self.assertIn("unknown key", self.ucli("put", "hello", "other", "-", data="colour: red", status=1))
        self.ucli("put", "hello", "other", "-", data="text: Hey")
        self.assertEqual(b"Hey from root, operator\n", self.ask("/modules/hello/other/").body)
        self.ucli("delete", "hello", "other")
        self.assertEqual(404, self.ask("/modules/hello/other/").status)

    def test_asks(self) -> None:
        """
        A module asks another one by its name: the same call for one here, and for one on another node, where
        it comes with a token.
        """
        package = self.directory / "site"
        shutil.copytree(CHECKOUT / "doc" / "howto" / "listings" / "hello", package)
        (package / "ugate_ask.py").write_text(ASK)
        plugin = 'from ugate.modules.lazy import LazyModule\nask = LazyModule("ask", "ugate_ask:AskModule")\n'
        (package / "twisted" / "plugins" / "ugate_ask_plugin.py").write_text(plugin)
        env = {"PYTHONPATH": os.pathsep.join([str(package), str(CHECKOUT)])}
        self.start(CONFIG + "hello: {{greeter: {{text: Good day}}}}\n", env)
        far = self.http
        self.write("token", self.tokens["watch"])
        self.start(ASKING.replace("FAR", str(far)), env)
        said = {name: self.ask(f"/modules/ask/{name}/").body for name in ("near", "far", "gone")}
        self.assertEqual(b"Hello from root, root\n", said["near"])
        self.assertEqual(b"Good day from root, watch\n", said["far"])
        self.assertIn(b"the tenant root has no module hello gone", said["gone"])
