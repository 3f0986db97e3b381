"""
What is in a section of the kind hello.
"""

from typing import Annotated

from msgspec import Meta, Struct


class Hello(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Somebody to be greeted.
    """

    text: Annotated[str, Meta(min_length=1, description="What is said.")] = "Hello"
    public: Annotated[bool, Meta(description="Whether anybody may ask.")] = False
