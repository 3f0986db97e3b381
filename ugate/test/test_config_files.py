# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.files} and L{ugate.tenancy.config.gather}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.filetext import MAX_BYTES
from ugate.tenancy.config.sections import ONLY, ROOT, IDiagnosed


def told(store: IDiagnosed) -> list[str]:
    """
    What is wrong with a store.
    """
    return [str(mistake) for mistake in store.mistakes()]


def everything(store: IConfigStore) -> dict[str, dict[str, dict[str, object]]]:
    """
    All sections of the root tenant, by kind and name.
    """
    kinds = ("listen", "dial", "routes", "policy", "node", "bogus")
    found = {}
    for kind in kinds:
        names = store.names(ROOT, kind)
        if names:
            found[kind] = {name: dict(store.section(ROOT, kind, name)) for name in names}
    return found


class StoreCase(SynchronousTestCase):
    """
    Tests with a directory of their own.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def write(self, name: str, data: str | bytes) -> str:
        """
        Write a file, and give its path.
        """
        path = self.directory / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)


class FileTests(StoreCase):
    """
    One file.
    """

    def test_sections(self) -> None:
        """
        Sections are mappings, short forms too; those of routes are in order.
        """
        text = (
            "listen: {main: 'auto:tcp:1080', db: {endpoint: 'tcp:5432', open: yes}}\n"
            "routes:\n- {match: a, via: b}\n- {match: [c], via: direct}\n"
            "policy: {users: /etc/users}\nnode:\n"
        )
        path = self.write("u.yaml", text)
        self.assertEqual(
            {
                "listen": {
                    "main": {"endpoint": "auto:tcp:1080"},
                    "db": {"endpoint": "tcp:5432", "open": True},
                },
                "routes": {
                    f"{path}:3:3": {"match": "a", "via": "b"},
                    f"{path}:4:3": {"match": ["c"], "via": "direct"},
                },
                "policy": {ONLY: {"users": "/etc/users"}},
            },
            everything(FileStore(path)),
        )

    def test_section(self) -> None:
        """
        A section knows where it is written, and is a mapping in all ways.
        """
        path = self.write("u.yaml", "listen:\n  main: auto:tcp:1\n")
        section = FileStore(path).section(ROOT, "listen", "main")
        self.assertEqual(f"{path}:2:3", str(section.place))
        self.assertEqual(1, len(section))
        self.assertIn("auto:tcp:1", repr(section))

    def test_noSuchSection(self) -> None:
        """
        What is not there is a L{KeyError}, and other tenants have nothing.
        """
        store = FileStore(self.write("u.yaml", "listen: {a: b}"))
        for tenant, kind, name in ((ROOT, "listen", "x"), (ROOT, "x", "a"), ("alice", "listen", "a")):
            self.assertRaises(KeyError, store.section, tenant, kind, name)
        self.assertEqual([], store.names("alice", "listen"))
        self.assertEqual([], store.names(ROOT, "bogus"))

    def test_empty(self) -> None:
        """
        An empty file is fine, whatever makes it empty.
        """
        for name, data in (
            ("u.yaml", b""),
            ("u.json", b"\n"),
            ("v.yaml", b"\xef\xbb\xbf# x\n"),
            ("w.yml", b"~"),
        ):
            store = FileStore(self.write(name, data))
            self.assertEqual(({}, []), (everything(store), told(store)))
            self.assertTrue(store.isWhole(ROOT, "dial"))

    def test_windows(self) -> None:
        """
        A byte order mark and line ends of another system change nothing.
        """
        path = self.write("u.yaml", b"\xef\xbb\xbfnode:\r\n  idle: 5\r\n  bogus: 1\r\rdial: {}\r\n")
        store = FileStore(path)
        self.assertEqual([], told(store))
        section = store.section(ROOT, "node", ONLY).written
        self.assertEqual(f"{path}:2:3", str(section.place))

    def test_json(self) -> None:
        """
        C{*.json} is read as JSON.
        """
        store = FileStore(self.write("u.json", '{"listen":\n\t{"a":"b\\ud83d\\ude00"}}'))
        self.assertEqual({"listen": {"a": {"endpoint": "b😀"}}}, everything(store))
        path = self.write("v.json", "listen:")
        self.assertEqual([f"{path}:1:1: this is not JSON: 'l'; wanted a value"], told(FileStore(path)))

    def test_missing(self) -> None:
        """
        A file that is not there, or cannot be read, is a mistake without a line.
        """
        path = str(self.directory / "none.yaml")
        wanted = "wanted a YAML or JSON file, or a directory of such, that can be read"
        store = FileStore(path)
        self.assertEqual([f"{path}: No such file or directory; {wanted}"], told(store))
        self.assertFalse(store.isWhole(ROOT, "listen"))

    def test_tooLarge(self) -> None:
        """
        A file has a largest size.
        """
        path = self.write("u.yaml", b"#" * MAX_BYTES)
        self.assertEqual([], told(FileStore(path)))
        self.write("u.yaml", b"#" * (MAX_BYTES + 1))
        self.assertEqual(
            [f"{path}: the file is over 10 MiB; wanted several smaller ones in a directory"],
            told(FileStore(path)),
        )

    def test_endless(self) -> None:
        """
        What has no end is not read to its end.
        """
        self.assertEqual(1, len(told(FileStore("/dev/zero"))))

    def test_encoding(self) -> None:
        """
        A byte that is not UTF-8 has its place, and what is around it is read.
        """
        path = self.write("u.yaml", b"dial: {a: b}\nnode: {x: \xe9}\npolicy: 5\n")
        store = FileStore(path)
        self.assertEqual(
            [
                f"{path}:2:11: the byte 0xe9 is not UTF-8; wanted the file saved as UTF-8",
                f"{path}:3:9: policy is 5; wanted a mapping",
            ],
            told(store),
        )
        self.assertEqual({"a": {"hops": "b"}}, everything(store)["dial"])

    def test_utf16(self) -> None:
        """
        A file of 16-bit characters is named so.
        """
        path = self.write("u.yaml", "node: {}".encode("utf-16"))
        self.assertEqual([f"{path}:1:1: the file is UTF-16; wanted UTF-8"], told(FileStore(path)))

    def test_controlCharacters(self) -> None:
        """
        Characters that no text has are told once.
        """
        for character in "\0\x07\x7f\x85\u2028\ufeff":
            path = self.write("u.yaml", f"node:\n  a: {character}{character}\n")
            expected = f"{path}:2:6: the character U+{ord(character):04X} cannot stand in a text"
            self.assertEqual([expected], [text.partition(";")[0] for text in told(FileStore(path))])

    def test_noMapping(self) -> None:
        """
        A file that is a list or a text.
        """
        path = self.write("u.yaml", "- a\n")
        store = FileStore(path)
        wanted = (
            "wanted KIND: ... with listen, dial, routes, policy, identity, trust, nodes, serve, node, tenants"
        )
        self.assertEqual([f"{path}:1:1: the file is a list; {wanted}"], told(store))
        self.assertFalse(store.isWhole(ROOT, "dial"))

    def test_unknownKind(self) -> None:
        """
        An unknown kind is a mistake; one that is like a known one is read as that.
        """
        path = self.write("u.yaml", "lisen: {a: b}\nbogus: 1\n")
        store = FileStore(path)
        known = "wanted listen, dial, routes, policy, identity, trust, nodes, serve, node or tenants"
        self.assertEqual(
            [
                f"{path}:1:1: unknown key 'lisen' at the top; {known}; did you mean 'listen'?",
                f"{path}:2:1: unknown key 'bogus' at the top; {known}",
            ],
            told(store),
        )
        self.assertEqual(["a"], store.names(ROOT, "listen"))

    def test_wrongForm(self) -> None:
        """
        A kind that is not of its form.
        """
        path = self.write("u.yaml", "listen: []\nroutes: {}\nnode: x\n")
        store = FileStore(path)
        self.assertEqual(
            [
                f"{path}:1:9: listen is a list; wanted a mapping of names",
                f"{path}:2:9: routes is a mapping; wanted a list, each item after '- '",
                f"{path}:3:7: node is 'x'; wanted a mapping",
            ],
            told(store),
        )
        self.assertFalse(store.isWhole(ROOT, "listen"))
        self.assertTrue(store.isWhole(ROOT, "dial"))

    def test_unreadKind(self) -> None:
        """
        A kind that could not be read is not whole.
        """
        store = FileStore(self.write("u.yaml", "dial: @\nlisten: {a: b}\n"))
        self.assertEqual(1, len(told(store)))
        self.assertEqual([False, True], [store.isWhole(ROOT, kind) for kind in ("dial", "listen")])

    def test_reload(self) -> None:
        """
        Told to, the store reads again, and calls back if anything changed, until that is stopped.
        """
        path = self.write("u.yaml", "node: {idle: 1}")
        store = FileStore(path)
        calls: list[str] = []
        stop = store.changed(lambda tenants: calls.append("a"))
        store.changed(lambda tenants: calls.append("b"))
        self.assertFalse(store.reload())
        self.write("u.yaml", "node: {idle: 2}")
        self.assertTrue(store.reload())
        self.assertEqual({"idle": 2}, dict(store.section(ROOT, "node", ONLY)))
        stop()
        stop()
        os.unlink(path)
        self.assertTrue(store.reload())
        self.assertEqual(1, len(told(store)))
        self.assertFalse(store.reload())
        self.assertEqual(["a", "b", "b"], calls)


class DirectoryTests(StoreCase):
    """
    A directory of files.
    """

    def test_merged(self) -> None:
        """
        Files are read in the order of their names; others and hidden ones are not.
        """
        self.write("20.yml", "routes: [{match: b, via: direct}]\nnode: {idle: 1}\ndial: {a: x}")
        self.write("10.json", '{"routes": [{"match": "a", "via": "direct"}], "dial": {"b": "y"}}')
        self.write("30.yaml", "node: {drain: 2}")
        self.write(".40.yaml", "@")
        self.write("README", "@")
        (self.directory / "sub").mkdir()
        store = FileStore(str(self.directory))
        self.assertEqual([], told(store))
        found = everything(store)
        self.assertEqual(["a", "b"], [section["match"] for section in found["routes"].values()])
        self.assertEqual({"b": {"hops": "y"}, "a": {"hops": "x"}}, found["dial"])
        self.assertEqual({ONLY: {"idle": 1, "drain": 2}}, found["node"])

    def test_twice(self) -> None:
        """
        The same name in two files is a mistake that names both places.
        """
        first = self.write("a.yaml", "listen:\n  main: x\nnode: {idle: 1}\n")
        second = self.write("b.yaml", "listen: {main: y}\nnode:\n  idle: 2\n")
        self.assertEqual(
            [
                f"{second}:1:10: listen.main is at {first}:2:3 too; wanted each name once",
                f"{second}:3:3: node.idle is at {first}:3:8 too; wanted each name once",
            ],
            told(FileStore(str(self.directory))),
        )

    def test_mistakesOfAll(self) -> None:
        """
        One bad file does not hide another, nor one that cannot be read.
        """
        self.write("a.yaml", "@")
        (self.directory / "b.yaml").mkdir()
        self.write("c.yaml", "bogus: 1")
        self.assertEqual(3, len(told(FileStore(str(self.directory)))))

    def test_numberOfFiles(self) -> None:
        """
        A directory has at least one file, and not too many.
        """
        path = str(self.directory)
        self.assertEqual(
            [f"{path}: no file *.yaml, *.yml or *.json; wanted one at least"], told(FileStore(path))
        )
        for number in range(3):
            os.symlink("/dev/null", f"{path}/{number}.yaml")
        self.assertEqual([], told(FileStore(path, limit=3)))
        self.assertEqual([f"{path}: more than 2 files; wanted fewer"], told(FileStore(path, limit=2)))

    def test_swapped(self) -> None:
        """
        A mounted volume whose files are links that are swapped under it is read anew.
        """
        for number in (1, 2):
            (self.directory / f"..{number}").mkdir()
            self.write(f"..{number}/u.yaml", f"node: {{idle: {number}}}")
        (self.directory / "..data").symlink_to("..1")
        (self.directory / "u.yaml").symlink_to("..data/u.yaml")
        store = FileStore(str(self.directory))
        (self.directory / "..new").symlink_to("..2")
        os.rename(self.directory / "..new", self.directory / "..data")
        self.assertTrue(store.reload())
        self.assertEqual({"idle": 2}, dict(store.section(ROOT, "node", ONLY)))
