# -*- test-case-name: ugate.test.test_cli_authority -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The commands C{ucli ca}: an administrator of the machine may have anything certified, whatever the rules say.
"""

from __future__ import annotations

import os
import re
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Final

import msgspec

from ugate.cli.authorityarguments import DIR
from ugate.cli.outcomes import GOOD, Wrong
from ugate.errors import UgateError
from ugate.tenancy.ca.authority import ADMIN, Authority, Certified
from ugate.tenancy.ca.folder import Keys, makeAuthority, readAuthority
from ugate.tenancy.ca.record import Issued
from ugate.tenancy.ca.requests import MAX_REQUEST, readCSR, readSSHKey
from ugate.tenancy.ca.schema import SSH_HOST, SSH_USER
from ugate.tenancy.ca.sshcertificates import publicText
from ugate.tenancy.config.texts import DOMAIN_NAME
from ugate.tenancy.keyids import keyidOf
from ugate.tenancy.statefolder import writeWhole


def run(given: Namespace) -> int:
    """
    Do what the command line says.

    @return: the exit status.
    @raise UgateError: it cannot be done.
    """
    _COMMANDS[given.second](given)
    sys.stdout.flush()
    return GOOD


def _folder(given: Namespace) -> str:
    folder = given.dir or os.environ.get(DIR, "")
    if not folder:
        raise Wrong(f"of which CA? give --dir DIR, or set ${DIR}")
    return str(folder)


def _init(given: Namespace) -> None:
    if not 0 < len(given.name) <= 64 or not given.name.isprintable():
        raise Wrong(f"--name {given.name!a}: wanted 1 to 64 printable characters")
    if len(given.domain) > 191 or re.fullmatch(DOMAIN_NAME, given.domain) is None:
        raise Wrong(f"--domain {given.domain!a}: wanted a name as of a host")
    makeAuthority(given.dir, given.name, given.domain.lower(), time.time())
    with closing(Authority(given.dir)) as authority:
        # Who is told to read the lists would else have none until something is revoked.
        authority.lists.refresh()
    _show(given)


def _show(given: Namespace) -> None:
    _say(given, aboutKeys(readAuthority(_folder(given))))


def aboutKeys(keys: Keys) -> Mapping[str, str]:
    """
    What others have to know of a CA.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    root = keys.root
    return {
        "name": root.subject.rfc4514_string(),
        "domain": keys.domain,
        "keyid": keyidOf(root.public_key()),
        "caPin": f"sha256:{sha256(root.public_bytes(Encoding.DER)).hexdigest()}",
        "ends": root.not_valid_after_utc.isoformat(),
        "sshUser": publicText(keys.userKey.public_key()).decode(),
        "sshHost": publicText(keys.hostKey.public_key()).decode(),
    }


def _sign(given: Namespace) -> None:
    if given.ssh_user and given.ssh_host:
        raise Wrong("a key is of a user or of a host: give one of --ssh-user and --ssh-host")
    data = _read(given.file)
    authority = Authority(_folder(given))
    try:
        if given.ssh_user or given.ssh_host:
            kind = SSH_USER if given.ssh_user else SSH_HOST
            text = data.decode("utf-8", "replace")
            wanted = readSSHKey(text, kind, given.principal, title=given.title, life=given.life)
        else:
            wanted = readCSR(data, authority.keys.domain, names=given.name, life=given.life)
        certified = authority.certify(wanted, ADMIN, None)
    finally:
        authority.close()
    _give(given, certified)


def _give(given: Namespace, certified: Certified) -> None:
    text = certified.text.rstrip("\n") + "\n"
    if given.out:
        writeWhole(given.out, text.encode())
    if given.json:
        _say(given, {**asdict(certified.issued), "certificate": text})
    elif not given.out:
        sys.stdout.write(text)
    issued = certified.issued
    sys.stderr.write(
        f"{issued.kind} {issued.serial} for {', '.join(issued.names)} until {_time(issued.ends)}\n"
    )


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(MAX_REQUEST + 1)
        with open(path, "rb") as file:
            return file.read(MAX_REQUEST + 1)
    except OSError as error:
        raise UgateError(f"{path} cannot be read: {error.strerror or error}") from error


def _token(given: Namespace) -> None:
    authority = Authority(_folder(given))
    try:
        if given.withdraw:
            count = authority.withdraw(given.name)
            sys.stdout.write(f"{count} tokens of {given.name} are good no more\n")
            return
        token = authority.token(given.name, given.life, given.uses or None)
    finally:
        authority.close()
    if given.json:
        _say(given, {"token": token})
    else:
        sys.stdout.write(f"{token}\n")


def _revoke(given: Namespace) -> None:
    what = given.what
    if os.path.isfile(what):
        what = _read(what).decode("utf-8", "replace")
    authority = Authority(_folder(given))
    try:
        revoked = authority.revoke(what, given.reason)
    finally:
        authority.close()
    _table(given, revoked)


def _list(given: Namespace) -> None:
    authority = Authority(_folder(given))
    try:
        _table(given, list(authority.list()))
    finally:
        authority.close()


def _table(given: Namespace, issued: list[Issued]) -> None:
    if given.json:
        _say(given, [asdict(each) for each in issued])
        return
    rows = [("KIND", "SERIAL", "WHO", "NAMES", "ENDS", "REVOKED")]
    for each in issued:
        revoked = "-" if each.revoked is None else _time(each.revoked)
        rows.append((each.kind, each.serial, each.who, ", ".join(each.names), _time(each.ends), revoked))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _say(given: Namespace, value: Any) -> None:
    if given.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
        return
    width = max(map(len, value))
    for name, text in value.items():
        sys.stdout.write(f"{name:<{width}}  {text}\n")


_COMMANDS: Final[Mapping[str, Callable[[Namespace], None]]] = {
    "init": _init,
    "show": _show,
    "sign": _sign,
    "token": _token,
    "revoke": _revoke,
    "list": _list,
}
