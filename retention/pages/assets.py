"""Scripts and styles, served under their own digest: cached for ever, compressed once.

Everything a page needs is here or in a folder of the page's own package; nothing is fetched from
elsewhere. What others wrote lies in vendor/, named with version, licence and SHA-256 in
VENDORED.toml.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from retention.terms.problems import Problem, Refusal

HERE = Path(__file__).parent
SHARED = (HERE / "assets", HERE / "vendor")
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    name: str
    media_type: str
    digest: str
    plain: bytes
    compressed: bytes


class Assets:
    """The files of some folders by name; a name may stand in one folder only."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._assets: dict[str, Asset] = {}
        for folder in (*SHARED, *folders):
            for path in sorted(folder.iterdir()):
                if path.suffix in MEDIA_TYPES:
                    self._add(path)

    def _add(self, path: Path) -> None:
        if path.name in self._assets:
            raise ValueError(f"{path}: another folder has a file of this name")
        plain = path.read_bytes()
        self._assets[path.name] = Asset(
            name=path.name,
            media_type=MEDIA_TYPES[path.suffix],
            digest=hashlib.sha256(plain).hexdigest()[:16],
            plain=plain,
            compressed=gzip.compress(plain, 9, mtime=0),
        )

    def url(self, name: str) -> str:
        """Return the address of a file; it changes when the file does. Raises KeyError."""
        return f"/assets/{self._assets[name].digest}/{name}"

    def serve(self, request: Request, digest: str, name: str) -> Response:
        """Answer GET /assets/{digest}/{name}. Raises Refusal (404), also for an old digest."""
        asset = self._assets.get(name)
        if asset is None or asset.digest != digest:
            raise Refusal(Problem(404, "NOT_FOUND", f"no asset {name[:80]}"))
        headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.compressed, headers=headers, media_type=asset.media_type)
        return Response(asset.plain, headers=headers, media_type=asset.media_type)
