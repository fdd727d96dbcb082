"""A page read back."""

import json
import re
from html.parser import HTMLParser


class Document(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self._inside = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" not in self._inside and "style" not in self._inside:
            self.text.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def data_of(html, name):
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', html, re.DOTALL)
    return json.loads(found[1])


def rows_of(spec, layer=None):
    """Rows of a chart, or of one of its layers where these have their own."""
    drawn = spec if layer is None or "data" in spec else spec["layer"][layer]
    return spec["datasets"][drawn["data"]["name"]]
