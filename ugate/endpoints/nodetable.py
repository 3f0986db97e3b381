# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What those who reach nodes want of a table of these: the parts of L{ugate.interfaces.INodes}.
"""

from __future__ import annotations

from typing import Protocol

from ugate.interfaces import MeshNode
from ugate.stream import Principal


class Learns(Protocol):
    """
    A table that is told of nodes.
    """

    def learn(self, node: MeshNode) -> None:
        """
        See L{ugate.interfaces.INodes}.
        """


class Table(Learns, Protocol):
    """
    And that they are gone.
    """

    def forget(self, keyid: str, source: str) -> None:
        """
        See L{ugate.interfaces.INodes}.
        """


class Users(Table, Protocol):
    """
    And that knows users, who are nodes here.
    """

    def user(self, principal: Principal) -> MeshNode:
        """
        What the config alone says of a user.
        """

    def find(self, name: str) -> MeshNode | None:
        """
        See L{ugate.interfaces.INodes}.
        """
