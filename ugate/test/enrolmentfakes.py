# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of enrolment share: a CA in this process, and who asks it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from twisted.internet.defer import Deferred, fail, succeed

from ugate.caclient import Said
from ugate.enrolment import Enrolment
from ugate.tenancy.ca.schema import CaRule, CaSection
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityenrolled import Enrolled
from ugate.test.test_capages import CaCase

LIFE = 9000.0


class Client:
    """
    Asks a CA of this process.
    """

    url = "https://ca.example/ca"

    def __init__(self, case: EnrolmentCase) -> None:
        self.case = case
        self.asked: list[str] = []
        self.trouble: Exception | None = None
        self.instead: dict[str, bytes] = {}
        self.waiting: Deferred[bytes] | None = None

    def get(self, path: str, check: Any = None) -> Deferred[bytes]:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object, check: Any) -> Deferred[bytes]:
        return self._ask("POST", path, msgspec.json.encode(body))

    def _ask(self, method: str, path: str, body: bytes | None) -> Deferred[bytes]:
        self.asked.append(path)
        if self.waiting is not None:
            return self.waiting
        if self.trouble is not None:
            return fail(self.trouble)
        if path in self.instead:
            return succeed(self.instead[path])
        more = {} if body is None else {"Content_Type": "application/json"}
        answer = self.case.ask(method, f"/ca/{path}", body, site=self.case.far, **more)
        if answer.status != 200:
            return fail(Said(answer.status, answer.json["detail"]))
        return succeed(answer.body)


class FakeTenant:
    """
    A tenant that has an identity.
    """

    name = "alice"

    def __init__(self, reactor: Any, identity: Identity) -> None:
        self.reactor = reactor
        self.identity: Any = identity


class EnrolmentCase(CaCase):
    """
    A CA, and somebody who has a token.
    """

    def setUp(self) -> None:
        super().setUp()
        self.far = self.port(isLocal=False)
        rule = CaRule(who=("enrolment:*",), accounts=("*",), life=LIFE)
        self.service.stopService()
        self.service = self.running(CaSection(str(self.folder), life=LIFE, rules=(rule,)))
        self.authority = self.service._pages.authority  # type: ignore[union-attr]
        self.token = Path(self.mktemp())
        self.token.write_text(self.authority.token("node-1", 60) + "\n")
        self.client = Client(self)
        self.state = Path(self.mktemp())

    def enrolment(self, **more: Any) -> Enrolment:
        """
        One that has begun.
        """
        known: Any = {} if "caPin" in more else {"caRoots": str(self.folder / "root.pem")}
        section = Section(ca=Client.url, token=str(self.token), domain="corp", **known, **more)
        source = Enrolled(str(self.state), section, lambda: self.at)
        self.identity = Identity(source, self.reactor, "alice", lambda: self.at)
        self.addCleanup(self.identity.stop)
        tenant: Any = FakeTenant(self.reactor, self.identity)
        client: Any = self.client
        made = Enrolment(self.reactor, tenant, section, client, lambda: self.at, lambda: 0.5)
        self.addCleanup(made.stop)
        made.start()
        self.reactor.advance(0)
        return made

    def pass_(self, seconds: float) -> list[str]:
        """
        Time passes.

        @return: what was asked for meanwhile.
        """
        del self.client.asked[:]
        while seconds > 0:
            step = min(seconds, 5.0)
            self.at += step
            self.reactor.advance(step)
            seconds -= step
        return self.client.asked

    @property
    def said(self) -> str:
        """
        The log.
        """
        return "\n".join(self.lines)
