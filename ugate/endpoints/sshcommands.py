# -*- test-case-name: ugate.test.test_sshcommands -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a gateway says to a person who has nothing but C{ssh}: who they are, and what they may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ugate.errors import Refused, StringError
from ugate.interfaces import ITenant
from ugate.protocols.credentials import ALL, Permits
from ugate.protocols.sshchannels import PROTOCOL, TO_PATH
from ugate.stream import UNIX, StreamInfo, Target

UNKNOWN: Final = 127
"""The exit status of a command that there is not."""

DENIED: Final = 1
"""That of C{explain}, for what may not be."""

_HELP: Final = """\
status             who you are here, and what you may do
explain HOST:PORT  whether a stream to there may be, or to unix:/PATH
help               this
"""


class Commands:
    """
    Answers one client.

    @since: ugate NEXT
    """

    def __init__(
        self,
        tenant: ITenant,
        info: StreamInfo,
        permits: Permits = ALL,
        published: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """
        @param tenant: that of the listener.
        @param info: what is known of the client; it has a principal.
        @param permits: what its credentials are good for.
        @param published: says what it publishes, and may.
        """
        self._tenant = tenant
        self._info = info
        self._permits = permits
        self._published = published

    def answer(self, line: str) -> tuple[str, int]:
        """
        See L{ugate.protocols.sshsession.Answer}.
        """
        try:
            return self._answer(line.split())
        except Refused as refused:
            # The tenant is gone, or the listener.
            return f"{refused}\n", DENIED

    def _answer(self, parts: list[str]) -> tuple[str, int]:
        if not parts or parts == ["status"]:
            return self._status(), 0
        if parts == ["help"]:
            return _HELP, 0
        if parts[0] == "explain" and len(parts) == 2:
            return self._explain(parts[1])
        return f"{parts[0][:40]}: there is no such command, and no shell. There are:\n{_HELP}", UNKNOWN

    def _status(self) -> str:
        principal = self._info.principal
        assert principal is not None
        tenant = self._tenant.tenantFor(self._info)
        lines = [
            f"You are {principal} ({principal.method}), and the rules are those of the tenant {tenant.name}.",
            "This is a gateway: it carries streams (ssh -L, -D, -W, -J, -R), and has no shell.",
        ]
        if self._permits.opens is not None:
            places = ", ".join(f"{host}:{port or '*'}" for host, port in self._permits.opens)
            lines.append(f"Your key is good for streams to {places or 'nowhere'}.")
        lines += self._published()
        lines.append("ssh GATE explain HOST:PORT says whether you may go there; ssh GATE help, what else.")
        return "\n".join(lines) + "\n"

    def _explain(self, text: str) -> tuple[str, int]:
        try:
            target = Target.anyFromText(text, paths=True)
        except StringError as error:
            return f"{error}\n", DENIED
        layers = (*self._info.layers, "ssh")
        protocol = TO_PATH if target.network == UNIX else PROTOCOL
        info = self._info.but(target=target, protocol=protocol, layers=layers)
        if not self._permits.mayOpen(target.host, target.port):
            return f"your key is not good for {target}\n", DENIED
        tenant = self._tenant.tenantFor(info)
        policy: Any = tenant.policy
        # By which rule and which way is for who runs this.
        isOurs = info.principal is not None and info.principal.method == "local"
        explain = getattr(policy, "explain", None)
        lines = [explain(info)] if isOurs and explain is not None else []
        try:
            policy.check(info)
            lines += tenant.dialer.explain(info) if isOurs else [f"you may go to {target}"]
        except Refused as refused:
            lines.append(str(refused) if isOurs else f"you may not go to {target}: {refused.cause.value}")
            return "\n".join([*lines, ""]), DENIED
        return "\n".join([*lines, ""]), 0
