#!/usr/bin/env python3
"""Renders Markdown pages with GitHub's own renderer (cmark-gfm).

Usage: pages.py FILE...

Writes one JSON object: the path of each page, and its HTML.
"""

import json
import re
import sys

import cmarkgfm
from cmarkgfm.cmark import Options

# GitHub renders these blocks in the browser.
MERMAID = re.compile(r'<pre(?: lang="mermaid")?><code(?: class="language-mermaid")?>(.*?)</code></pre>', re.DOTALL)


def render(path):
    with open(path, encoding="utf-8") as page:
        html = cmarkgfm.github_flavored_markdown_to_html(page.read(), options=Options.CMARK_OPT_UNSAFE)
    return MERMAID.sub(lambda block: f'<pre class="mermaid">{block[1]}</pre>' if "mermaid" in block[0][:60] else block[0], html)


json.dump({path: render(path) for path in sys.argv[1:]}, sys.stdout)
