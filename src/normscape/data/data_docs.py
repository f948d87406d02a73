"""Great Expectations' Data Docs as pages that say everything without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_REMOTE_LOGO = re.compile(r"https://great-expectations-web-assets\.[^\s\"')]+")


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


def make_offline(docs: Path) -> None:
    """Make the pages' own copy of the logo appear, and give the index plain links.

    The remote logo would report every look at a page; the index fills its tables with a script
    from a CDN and is empty without one.
    """
    pages = sorted(docs.rglob("*.html"))
    for page in pages:
        up = "../" * (len(page.relative_to(docs).parts) - 1)
        text = _REMOTE_LOGO.sub(f"{up}static/images/logo-long.png", page.read_text("utf-8"))
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
