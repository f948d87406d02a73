"""The page of the kinds of defects: pictures with contours, course, confidence; offline."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from normscape.data.images import read_image
from normscape.discovery.alarm import describe_new
from normscape.discovery.catalogue import Catalogue, Member
from normscape.discovery.describe import Flagged, outline
from normscape.discovery.facts import facts_of, unsorted
from normscape.discovery.run import DiscoveryRun
from normscape.discovery.store import CatalogueStore
from normscape.errors import DataError
from normscape.files import atomic_path, sha256_file
from normscape.params import Params
from normscape.scoring.inbox import Inbox

FindImage = Callable[[Member], Path | None]
"""From an image of the catalogue to a file that shows it, or None."""

_TEMPLATES = Path(__file__).parent / "templates"
_PICTURES = 12
_SIDE = 200
_LINE = np.array([80, 255, 255], dtype=np.uint8)
_DAYS = 30
_WIDTH, _HEIGHT, _FOOT = 220, 54, 13


@dataclass(frozen=True)
class Picture:
    """A thumbnail with the outline of what was found."""

    source: str
    name: str
    caption: str


def defects_page(params: Params) -> Path:
    """Where the page is."""
    return params.state / "monitor" / "defects.html"


def write_page(params: Params, run: DiscoveryRun) -> Path:
    """Write the page of all catalogues, with contours on the images that this run has seen.

    Raises:
        NormscapeError: A catalogue is damaged, or the folder cannot be written.
    """
    store = CatalogueStore.of(params)
    catalogues = [store.load(category) for category in store.categories()]
    new = {each.discovery.catalogue.category: each.discovery.new_types for each in run.categories}
    html = render(params, catalogues, run, new, _finder(params))
    target = defects_page(params)
    with atomic_path(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return target


def render(
    params: Params,
    catalogues: Sequence[Catalogue],
    run: DiscoveryRun,
    new: Mapping[str, Sequence[str]],
    find_image: FindImage,
) -> str:
    """The HTML; everything it shows is inside it.

    Args:
        params: The project.
        catalogues: All that are to be shown.
        run: The newest discovery.
        new: Ids of the types that it found first, by category.
        find_image: Where images are that it has not seen.
    """
    loader = ChoiceLoader([FileSystemLoader(_TEMPLATES), PackageLoader("normscape.evaluation")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    seen = {each.sha256: each for each in run.flagged}
    shown = [
        _category(params, each, seen, new.get(each.category, ()), find_image) for each in catalogues
    ]
    notes = [*run.notes]
    for each in run.categories:
        notes += [f"{each.discovery.catalogue.category}: {n}" for n in each.discovery.notes]
    credits = [
        f"{each.category}: {params.evaluate.credits[each.category]}"
        for each in catalogues
        if each.category in params.evaluate.credits
    ]
    return environment.get_template("defects.html.j2").render(
        categories=shown, notes=notes, credits=credits,
        images=sum(len(each.members) for each in catalogues),
        types=sum(len(each.living) for each in catalogues),
        named=sum(bool(one.name) for each in catalogues for one in each.living),
        fresh=sum(len(each) for each in new.values()),
    )  # fmt: skip


def counts_chart(days: Sequence[str], of_all: Sequence[str]) -> str:
    """Bars of the images of a type by day, as an SVG element.

    Args:
        days: Of the type's images.
        of_all: Of the category's images: they name the days that are shown, the newest 30 of them.
    """
    shown = sorted(set(of_all))[-_DAYS:]
    if not shown:
        return ""
    counts = Counter(days)
    highest = max((counts[day] for day in shown), default=0) or 1
    room, step = _HEIGHT - _FOOT, _WIDTH / len(shown)
    bars = "".join(
        f'<rect class="window" x="{index * step + 0.1 * step:.1f}" width="{0.8 * step:.1f}" '
        f'y="{room * (1 - counts[day] / highest):.1f}" height="{room * counts[day] / highest:.1f}">'
        f"<title>{day}: {counts[day]}</title></rect>"
        for index, day in enumerate(shown)
    )
    ends = (
        f'<text x="0" y="{_HEIGHT - 2}">{shown[0]}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 2}" text-anchor="end">{shown[-1]}</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="images by day">{bars}'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{room}" y2="{room}"/>{ends}</svg>'
    )


def _category(
    params: Params,
    catalogue: Catalogue,
    seen: Mapping[str, Flagged],
    new: Sequence[str],
    find_image: FindImage,
) -> dict[str, Any]:
    days = [member.day for member in catalogue.members.values()]
    rows = []
    for each in catalogue.living:
        members = catalogue.of_type(each.id)
        asks = each.id in new and each.name is None
        rows.append(
            {
                **facts_of(catalogue, each),
                "title": each.title,
                "new": each.id in new,
                "sentence": describe_new(catalogue, each.id) if asks else "",
                "chart": counts_chart([member.day for member in members], days),
                "pictures": _pictures(params, catalogue, members, seen, find_image),
            }
        )
    strangers = catalogue.of_type(None)
    rest = None
    if strangers:
        pictures = _pictures(params, catalogue, strangers, seen, find_image)
        chart = counts_chart([member.day for member in strangers], days)
        rest = {**unsorted(catalogue), "pictures": pictures, "chart": chart}
    rows.sort(key=lambda row: (not row["new"], -row["images"]))
    return {
        "name": catalogue.category, "version": catalogue.version, "images": len(days),
        "types": rows, "rest": rest,
    }  # fmt: skip


def _pictures(
    params: Params,
    catalogue: Catalogue,
    members: Sequence[Member],
    seen: Mapping[str, Flagged],
    find_image: FindImage,
) -> list[Picture]:
    found: list[Picture] = []
    for member in members:
        if len(found) == _PICTURES:
            break
        source = _thumbnail(params, catalogue, member, seen.get(member.sha256), find_image)
        if source is not None:
            found.append(Picture(source, member.source, _caption(member)))
    return found


def _caption(member: Member) -> str:
    parts = [member.day]
    if member.by == "person":
        parts.append("said by a person")
    elif member.type is not None:
        parts.append(f"{member.confidence:.0%}")
    elif member.nearest is not None:
        parts.append(f"most like {member.nearest}")
    return ", ".join([*parts, *(f"also {name}" for name in member.also)])


def _thumbnail(
    params: Params,
    catalogue: Catalogue,
    member: Member,
    flagged: Flagged | None,
    find_image: FindImage,
) -> str | None:
    path = None if flagged is not None else find_image(member)
    try:
        if flagged is not None:
            image = flagged.read()
        elif path is not None:
            image = read_image(path)
        else:
            return None
    except DataError:
        return None  # moved or replaced since: the page does without
    image.thumbnail((_SIDE, _SIDE))
    if flagged is not None and catalogue.knowledge is not None:
        mask = outline(flagged, catalogue.knowledge.level, params.discovery)
        image = _outlined(image, mask)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _outlined(image: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    fitted = Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST)
    inside = np.asarray(fitted, dtype=bool)
    line = ndimage.binary_dilation(inside, iterations=1) & ~inside
    pixels = np.array(image)
    pixels[line] = _LINE
    return Image.fromarray(pixels)


def _finder(params: Params) -> FindImage:
    inbox = Inbox.of(params).root

    def find(member: Member) -> Path | None:
        kept = next((inbox / member.sha256).glob("image.*"), None)
        original = params.root / member.source
        if kept is None and original.is_file() and sha256_file(original) == member.sha256:
            return original
        return kept

    return find
