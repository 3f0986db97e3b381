"""
Temporary.
"""

from ugate.stream import ROOT


def isWithin(path: str, ancestor: str) -> bool:
    """
    Whether a tenant is another one or below it.
    """
    return ancestor == ROOT or path == ancestor or path.startswith(ancestor + "/")
