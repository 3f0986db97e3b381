# -*- test-case-name: ugate.test.test_config_check -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the values of L{ugate.tenancy.config.schema} are made of: texts and numbers with their checks.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ugate.keyid import KEYID

_LONGEST: Final = 30 * 86400
SECONDS: Final = {"unit": "seconds"}
MOST: Final = 10**18
# What is for the JSON Schema: msgspec would put its own type over that of another name.
ONE_OR_LIST: Final = {"x-type": ["array", "string"]}
SIZE: Final = {"x-type": ["integer", "string"], "pattern": "^[0-9]+(\\.[0-9]+)?([KkMGTP]i?)?B?$"}

ANY_KEYID: Final = f"{KEYID}|{KEYID.lower()}"
DOMAIN_NAME: Final = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"

Name = Annotated[
    str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_.-]{0,63}$", description="A name that others refer to.")
]
Endpoint = Annotated[
    str,
    Meta(
        min_length=1,
        description="A server endpoint string: what is spoken, and where it listens.",
        examples=["auto:tcp:1080:interface=127.0.0.1"],
        extra={"check": "endpoint", "wanted": "an endpoint string, as in auto:tcp:1080:interface=127.0.0.1"},
    ),
]
Hops = Annotated[
    str,
    Meta(
        min_length=1,
        description="A hop, or a chain of hops in the order in which a stream passes them.",
        examples=["socks:proxy:1080", "socks:a:1080 -> connect:b:3128"],
        extra={"check": "hops", "wanted": "a hop or a chain, as in socks:a:1080 -> connect:b:3128"},
    ),
]
Address = Annotated[
    str,
    Meta(
        min_length=1,
        description="Where every stream of this listener goes.",
        examples=["db.internal:5432", "[2001:db8::1]:22"],
        extra={"check": "target", "wanted": "HOST:PORT"},
    ),
]
Pattern = Annotated[
    str,
    Meta(
        min_length=1,
        description="A host, *.suffix, *, an address or a range, each with an optional :PORT or :LOW-HIGH; "
        "or unix:/PATH.",
        examples=["*.corp", "10.0.0.0/8", "*:25", "[2001:db8::/32]:443", "unix:/run/app/*.sock"],
        extra={"check": "match", "wanted": "a host, *.suffix, * or an address range, maybe with :PORT"},
    ),
]
Hosts = Annotated[
    str,
    Meta(
        min_length=1,
        examples=["alice.example", "*.alice.example"],
        extra={"check": "host", "wanted": "a host or *.suffix, without a port"},
    ),
]
Way = Annotated[
    str,
    Meta(
        min_length=1,
        description="The name of a dial section, hops, 'direct', 'mesh', 'dns' or 'deny'.",
        examples=["office", "direct", "socks:proxy:1080"],
        extra={"check": "via", "wanted": "a name in dial, hops, direct, mesh, dns or deny"},
    ),
]
ALPN = Annotated[
    str,
    Meta(
        pattern="^[!-+.-~-]{1,255}$",
        examples=["h2"],
        extra={"wanted": "the name of a protocol inside of TLS, as in h2 or http/1.1"},
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=_LONGEST, description="Seconds.", extra=SECONDS)]
Grace = Annotated[float, Meta(ge=0, le=_LONGEST, description="Seconds, maybe none.", extra=SECONDS)]


Users = Annotated[
    str,
    Meta(
        min_length=1,
        description="The password file: its path.",
        extra={"check": "users", "wanted": "the path of a password file"},
    ),
]
Tokens = Annotated[
    str,
    Meta(
        min_length=1,
        description="The file of bearer tokens, hashed: its path.",
        extra={"check": "tokens", "wanted": "the path of a file of tokens"},
    ),
]
Issuers = Annotated[
    str,
    Meta(
        min_length=1,
        description="Whose JWTs let somebody in, and by which keys: the path of the file.",
        extra={"check": "issuers", "wanted": "the path of a file of issuers"},
    ),
]
Keys = Annotated[
    str,
    Meta(
        min_length=1,
        description="The SSH keys of who may log in, in the format of OpenSSH: the path of the file.",
        extra={"check": "keys", "wanted": "the path of an authorized_keys file"},
    ),
]
Revoked = Annotated[
    str,
    Meta(
        min_length=1,
        description="SSH keys and certificates that let nobody in any more, as ssh-keygen -k writes them.",
        extra={"check": "revokedKeys", "wanted": "the path of a list of revoked keys (KRL)"},
    ),
]
Certificates = Annotated[
    str,
    Meta(
        min_length=1,
        description="Who may log in with a certificate, by fingerprint: the path of the file.",
        extra={"check": "certificates", "wanted": "the path of a file of fingerprints"},
    ),
]
Who = Annotated[
    str, Meta(min_length=1, extra={"check": "who", "wanted": "NAME or METHOD:NAME, maybe with *"})
]
TenantPath = Annotated[
    str, Meta(min_length=1, extra={"check": "pattern", "wanted": "the path of a tenant, maybe with *"})
]
ProtocolName = Annotated[
    str, Meta(min_length=1, extra={"check": "pattern", "wanted": "the name of a protocol, as in socks5"})
]


Keyid = Annotated[
    str,
    Meta(
        pattern=f"^({ANY_KEYID})$",
        description="A KEYID: the hash of a public key.",
        extra={
            "wanted": "a KEYID: 52 letters, all capital or all small, and digits from 2 to 7, "
            "as ucli identity shows it"
        },
    ),
]
DomainName = Annotated[
    str,
    Meta(
        pattern=f"^{DOMAIN_NAME}$",
        max_length=191,
        examples=["cluster.local"],
        extra={"wanted": "a name as of a host, at most 191 characters"},
    ),
]
Label = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$",
        examples=["prod"],
        extra={"wanted": "a name without dots, at most 63 characters"},
    ),
]


Rate = Annotated[
    int, Meta(ge=1, le=MOST, extra={"unit": "bytes a second", "size": True}, extra_json_schema=SIZE)
]
Size = Annotated[int, Meta(ge=0, le=MOST, extra={"unit": "bytes", "size": True}, extra_json_schema=SIZE)]
Count = Annotated[int, Meta(ge=0, le=10_000_000)]
