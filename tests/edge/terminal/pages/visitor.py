"""A browser without a screen: follows redirects, keeps cookies, fills the forms that a page has."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

# Plain HTTP needs none, but httpx makes one for every client, which costs more than most requests.
TLS = ssl.create_default_context()
BLANK = frozenset({"input", "img", "br", "meta", "link", "path", "circle", "hr"})


@dataclass
class Form:
    """A form of a page: where it goes, what it holds, and the marks around it."""

    action: str
    method: str
    marks: set[str]
    values: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


class Page(HTMLParser):
    """What a page says: its text, its forms, the addresses of its links and its marks."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status, self.html = response.status_code, response.text
        self.headers, self.url = response.headers, str(response.url)
        self.texts: list[str] = []
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.marks: set[str] = set()
        self._open: list[tuple[str, str | None]] = []
        self._form: Form | None = None
        self._select: str | None = None
        self._area: str | None = None
        self.feed(response.text)

    @property
    def text(self) -> str:
        """Return the words, with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.texts)).strip()

    def form(self, action: str) -> Form:
        """Return the only form whose address ends so."""
        found = [one for one in self.forms if one.action.endswith(action)]
        assert len(found) == 1, (action, [one.action for one in self.forms])
        return found[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        mark = known.get("data-test")
        if mark:
            self.marks.add(mark)
        if tag not in BLANK:
            self._open.append((tag, mark))
        if tag == "a" and known.get("href"):
            self.links.append(known["href"] or "")
        if tag == "form":
            around = {m for _, m in self._open if m}
            self._form = Form(known.get("action") or "", known.get("method") or "get", around)
            self.forms.append(self._form)
        self._fill(tag, known)

    def _fill(self, tag: str, known: Mapping[str, str | None]) -> None:
        name = known.get("name") or ""
        if self._form is None or any(tag == "template" for tag, _ in self._open):
            return
        if tag == "input" and name:
            if known.get("type") == "file":
                self._form.files.add(name)
            elif known.get("type") != "checkbox" or "checked" in known:
                self._form.values[name] = known.get("value") or ""
        elif tag == "textarea":
            self._area = name
            self._form.values[name] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            value = known.get("value") or ""
            if "selected" in known or self._select not in self._form.values:
                self._form.values[self._select] = value

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area and self._form is not None:
            self._form.values[self._area] += data
        if data.strip() and all(tag != "template" for tag, _ in self._open):
            self.texts.append(data)


class Visitor:
    """Somebody at a browser. Says how each request came about, as browsers do."""

    def __init__(self, url: str, lang: str = "zh") -> None:
        self.http = httpx.Client(
            base_url=url, follow_redirects=True, trust_env=False, timeout=20, verify=TLS,
            headers={"accept": "text/html", "sec-fetch-site": "same-origin"},
        )  # fmt: skip
        self.http.cookies.set("lang", lang)

    def get(self, path: str) -> Page:
        return Page(self.http.get(path))

    def send(
        self,
        form: Form,
        values: Mapping[str, str] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        htmx: bool = False,
    ) -> Page:
        """Send a form with some fields typed over."""
        data = form.values | dict(values or {})
        headers = {"hx-request": "true", "accept": "*/*"} if htmx else {}
        parts = {name: (f"{name}.png", content) for name, content in (files or {}).items()}
        return Page(self.http.post(form.action, data=data, files=parts or None, headers=headers))

    def close(self) -> None:
        self.http.close()
