"""Great Expectations' Data Docs: pages that need no network, the same for the same data."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

_REMOTE_LOGO = re.compile(r"https://great-expectations-web-assets\.[^\s\"')]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOAD_TIME = re.compile(r"(?<=>)\d{8}T\d{6}\.\d+Z(?=<)")
_UNTIMED = "not recorded: the same data give the same pages"

RUN_TIME = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
"""Stands for the time of every run: DVC compares the pages by their bytes."""


def docs_site(folder: Path) -> dict[str, Any]:
    """The configuration of a Data Docs site in `folder`."""
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.absolute()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def finish_pages(docs: Path) -> None:
    """Make the pages' own copy of the logo appear, drop times, give the index plain links.

    The remote logo would report every look at a page; the index fills its tables with a script
    from a CDN and is empty without one.
    """
    pages = sorted(docs.rglob("*.html"))
    for page in pages:
        up = "../" * (len(page.relative_to(docs).parts) - 1)
        text = _REMOTE_LOGO.sub(f"{up}static/images/logo-long.png", page.read_text("utf-8"))
        text = _without_times(text)
        if page == docs / "index.html":
            text = text.replace("<body>", f"<body>\n{_links(docs, pages)}", 1)
        page.write_text(text, "utf-8")


def _links(docs: Path, pages: list[Path]) -> str:
    """A list of links to the results, then to the expectations."""
    items = [
        f'<li><a href="{page.relative_to(docs).as_posix()}">{title} of {page.stem}</a></li>'
        for folder, title in (("validations", "Result"), ("expectations", "Expectations"))
        for page in pages
        if page.relative_to(docs).parts[0] == folder
    ]
    return "<ul>\n" + "\n".join(items) + "\n</ul>"


def _without_times(text: str) -> str:
    """Replace the times of the run, and the random names of elements by their order."""
    text = _LOAD_TIME.sub(_UNTIMED, text).replace(f"{RUN_TIME:%Y-%m-%dT%H:%M:%SZ}", _UNTIMED)
    names: dict[str, str] = {}
    return _UUID.sub(lambda found: names.setdefault(found[0], f"item{len(names)}"), text)
