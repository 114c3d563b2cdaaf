"""How the documentation is built: `scripts/docs`. Nothing is fetched."""

from __future__ import annotations

import sys
from importlib.metadata import version as _version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "mdsens"
version = release = _version("mdsens")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "plain_docstrings",
    "generated_text",
]
exclude_patterns = ["_extensions"]
html_theme = "furo"
html_title = f"mdsens {version}"
html_copy_source = html_show_sourcelink = html_show_copyright = False
highlight_language = "text"
smartquotes_action = "D"  # dashes alone: F'' is a second derivative

myst_heading_anchors = 3  # links to #headings work as on code hosts
myst_url_schemes = ["http", "https"]

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_param = False
# Lists of names, each in bold: what is said of several at once stays together.
napoleon_custom_sections = [
    ("Args", "params_style"),
    ("Attributes", "params_style"),
    ("Raises", "params_style"),
]

nitpick_ignore_regex = [
    ("py:.*", r"(?!mdsens\.).*"),  # other packages, whose pages are elsewhere
    # What a signature names and no user makes.
    ("py:class", r"mdsens\.equilibrium\.problem\.(Problem|Setting)"),
    ("py:class", r"mdsens\.derivatives\.(linearization\.Linearization|taylor\.Path)"),
    ("py:class", r"mdsens\.implicit\.bilevel\.warm\.(AdjointInfo|Memory)"),
    ("py:class", r"mdsens\.ensembles\.buckets\.Member"),
    ("py:class", r"mdsens\.(linear\.ground\.HostProjector|thermal\.lists\.Lister)"),
    ("py:class", r"mdsens\.(implicit\.projected\.Solver|fitting\.prediction\.Group)"),
]
