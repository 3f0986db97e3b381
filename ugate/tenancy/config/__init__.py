# -*- test-case-name: ugate.test.test_config_stores,ugate.test.test_config_whole -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Configuration: from stores of sections to one frozen value, or to all of its mistakes.

A store (L{ugate.interfaces.IConfigStore}) holds sections, each found by tenant, kind and name.
L{ugate.tenancy.config.stack.openStores} puts files and the command line together, and
L{ugate.tenancy.config.whole.readConfig} makes a L{ugate.tenancy.config.whole.Config} of them.  Files
and what reads them are imported only when a path is given.
"""
