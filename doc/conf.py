# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How the documentation is built: C{make docs}.
"""

from ugate import __version__

project = "ugate"
author = "ugate contributors"
copyright = author
release = version = __version__

extensions: list[str] = []
exclude_patterns = ["_build"]
highlight_language = "none"
nitpicky = True

html_theme = "alabaster"
# The tables are wide.
html_theme_options = {
    "description": "A gateway between protocols",
    "page_width": "1280px",
    "body_max_width": "100%",
}
html_show_sphinx = False
