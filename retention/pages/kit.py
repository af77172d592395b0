"""Rendering pages: Jinja2 with what every template may use, in the language of the request.

A template writes its texts in pairs, `{{ tr("结算", "Settle") }}`, Chinese first; the language is
a cookie that the switch sets. Undefined names are errors, everything is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from retention.pages import formats
from retention.pages.assets import Assets
from retention.records.clock import Clock
from retention.terms import words
from retention.terms.problems import Problem
from retention.terms.reasons import BY_CODE

Language = Literal["zh", "en"]
LANGUAGE_COOKIE = "lang"
YEAR_SECONDS = 366 * 86400
HERE = Path(__file__).parent


def language_of(request: Request) -> Language:
    """Return the language of the request; Chinese unless English was chosen."""
    return "en" if request.cookies.get(LANGUAGE_COOKIE) == "en" else "zh"


def wants_html(request: Request) -> bool:
    """Say whether a person's browser asks, and not a program for the API."""
    api = request.url.path.startswith("/v1/")
    return not api and "text/html" in request.headers.get("accept", "")


def local_path(target: str) -> str:
    """Return a path of our own to go on to; anything else is the start page."""
    own = target.startswith("/") and not target.startswith("//") and "\\" not in target
    return target if own and target.isprintable() else "/"


class PageKit:
    """Templates and assets of one service. `templates` and `assets` are its own folders."""

    def __init__(
        self, *, templates: Path, assets: Sequence[Path], clock: Clock, brand: tuple[str, str]
    ) -> None:
        self.assets = Assets(assets)
        self._clock, self._brand = clock, brand
        self.environment = Environment(
            loader=ChoiceLoader(
                [FileSystemLoader(templates), FileSystemLoader(HERE / "templates")]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {
            "absolute": formats.absolute,
            "time_of_day": formats.time_of_day,
            "day_of": formats.day_of,
            "duration": formats.duration,
            "size": formats.size,
        }
        self.environment.globals |= {
            "asset": self.assets.url,
            "share": formats.share,
        }

    def text(self, request: Request, name: str, **values: Any) -> str:
        """Return a template filled in, for a page or a part of one."""
        lang = language_of(request)
        return self.environment.get_template(name).render(
            request=request,
            lang=lang,
            brand=self._brand,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            tr=partial(translated, lang),
            word=partial(words.word, lang),
            reason=partial(reason_words, lang),
            ago=partial(self._ago, lang),
            **values,
        )

    def page(
        self,
        request: Request,
        name: str,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """Answer with a page, or with a part of one for htmx."""
        vary = {"Vary": "Cookie, HX-Request", **(headers or {})}
        return HTMLResponse(self.text(request, name, **values), status, vary)

    def problem(self, request: Request, problem: Problem, **values: Any) -> HTMLResponse:
        """Answer with what happened, why, and what to do now: the problem.html of the service."""
        return self.page(
            request,
            "problem.html",
            status=problem.status,
            problem=problem,
            known=BY_CODE[problem.code],
            **values,
        )

    def router(self) -> APIRouter:
        """Return the routes that every service with pages has."""
        router = APIRouter(include_in_schema=False)

        @router.get("/assets/{digest}/{name}")
        def asset(request: Request, digest: str, name: str) -> Response:
            return self.assets.serve(request, digest, name)

        @router.get("/language/{lang}")
        def language(lang: Language, to: str = "/") -> Response:
            answer = RedirectResponse(local_path(to), 303)
            answer.set_cookie(
                LANGUAGE_COOKIE, lang, max_age=YEAR_SECONDS, httponly=True, samesite="lax"
            )
            return answer

        return router

    def _ago(self, lang: Language, moment: formats.Moment) -> Markup:
        """Return how long ago, with the absolute time on hover and for machines."""
        when = formats.instant(moment)
        seconds = (self._clock.now() - when).total_seconds()
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            when.isoformat(), formats.absolute(when), formats.ago(seconds, lang)
        )


def translated(lang: Language, zh: str, en: str) -> str:
    """Return one of a pair of texts."""
    return zh if lang == "zh" else en


def reason_words(lang: Language, code: str) -> dict[str, str]:
    """Return a reason's title and what to do now. An unknown code speaks for itself."""
    known = BY_CODE.get(code)
    if known is None:
        return {"code": code, "title": code, "do": ""}
    zh = lang == "zh"
    return {
        "code": code,
        "title": known.zh if zh else known.en,
        "do": known.do_zh if zh else known.do_en,
    }


def query_path(path: str, **values: str | None) -> str:
    """Return a path with the given query values, those that are None left out."""
    pairs = [f"{name}={quote(value, safe='')}" for name, value in values.items() if value]
    return f"{path}?{'&'.join(pairs)}" if pairs else path
