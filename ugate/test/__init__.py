# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The tests of ugate: one module for each module, in memory; what needs a socket or a peer is in C{interop}.
"""

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    # An installed ugate runs the tests that need no more than ugate does.
    pass
else:
    # A loaded machine is slow without being wrong, and tests share theirs with other tests.
    settings.register_profile("ugate", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
    settings.load_profile("ugate")
