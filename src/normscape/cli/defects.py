"""`normscape defects …`: which kinds of defects there are, and what people call them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normscape.cli.defect_types import Category, Why, catalogues, label, merge, name, split
from normscape.cli.options import (
    DEFAULT_PARAMS,
    AsJson,
    ParamsFile,
    print_json,
    print_table,
    read_params,
    warn,
)
from normscape.errors import UsageError

if TYPE_CHECKING:
    from normscape.discovery.catalogue import Catalogue, Member
    from normscape.discovery.run import Origin, Sorted
    from normscape.discovery.verdict import Verdict

defects_app = typer.Typer(
    no_args_is_help=True,
    help="Kinds of defects: discover, list, show, name, merge, split, label; sort new images.",
)

Only = Annotated[
    str | None,
    typer.Option("--category", help="Only this product; with --images, that of loose images."),
]
Images = Annotated[
    Path | None,
    typer.Option(help="A folder [category/]image of flagged images; the inbox if left out."),
]
Maps = Annotated[
    Path | None,
    typer.Option(help="Their anomaly maps, same names, as NPY, TIFF or PNG; default: --images."),
]
_SHOWN = 20


@defects_app.command()
def discover(
    *,
    category: Only = None,
    images: Images = None,
    maps: Maps = None,
    afresh: Annotated[
        bool, typer.Option(help="Learn the kinds anew, even if little is new; ids stay.")
    ] = False,
    why: Why = "discovery",
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Sort flagged images into kinds of defects; new kinds raise an alert."""
    from normscape.discovery.run import discover_all

    run = discover_all(
        read_params(params), _origin(category, images, maps), reason=why, afresh=afresh
    )
    for note in run.notes:
        warn(note)
    if as_json:
        print_json([_outcome(each) for each in run.categories])
        return
    for each in run.categories:
        found = each.discovery
        typer.echo(_sentence(each))
        for note in found.notes:
            warn(f"{found.catalogue.category}: {note}")
        for alert in each.alerts:
            typer.echo(f"  {alert.sentence}")


@defects_app.command()
def assign(
    *,
    category: Only = None,
    images: Images = None,
    maps: Maps = None,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Say of images which known kind of defect they show; nothing is learned or stored."""
    from normscape.discovery.run import assign_all

    found = assign_all(read_params(params), _origin(category, images, maps))
    if as_json:
        print_json(
            [
                {"source": each.source, "sha256": each.sha256, "category": each.category,
                 "name": _title(known, verdict.type), **asdict(verdict)}
                for each, verdict, known in found
            ]
        )  # fmt: skip
        return
    header = ("image", "category", "type", "confidence", "p", "nearest", "regions", "source")
    rows = [
        (
            each.sha256[:12], each.category, _title(known, verdict.type) or "unseen",
            f"{verdict.confidence:.2f}", f"{verdict.p_value:.3g}",
            _title(known, verdict.nearest) or "", _regions(verdict), each.source,
        )
        for each, verdict, known in found
    ]  # fmt: skip
    print_table(header, rows, empty="no flagged image")


@defects_app.command("list")
def list_types(
    category: Annotated[str | None, typer.Argument(help="Only this product.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Merged types, too.")] = False,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """List the kinds of defects: images, share, first and last day, nearest named kind."""
    from normscape.discovery.facts import facts_of, unsorted

    store = catalogues(params)
    rows = []
    for each_category in [category] if category else store.categories():
        found = store.require(each_category)
        rows += [facts_of(found, each) for each in (found.types if everything else found.living)]
        if found.counts[None]:
            rows.append(unsorted(found))
    if as_json:
        print_json(rows)
        return
    header = ("category", "type", "name", "images", "share", "confidence", "first", "last",
              "nearest named")  # fmt: skip
    cells = [
        (
            row["category"], row["type"] or "–", row["name"] or "", str(row["images"]),  # noqa: RUF001
            f"{row['share']:.0%}", f"{row['confidence']:.2f}", row["first"] or "",
            row["last"] or "", _nearest(row),
        )
        for row in rows
    ]  # fmt: skip
    print_table(header, cells, empty="no catalogue; `normscape defects discover` makes one")


@defects_app.command()
def show(
    category: Category,
    wanted: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Id or name; all changes if left out.")
    ] = None,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Show the images of one kind of defect, or who has changed the catalogue when and why."""
    from normscape.discovery.facts import facts_of

    store = catalogues(params)
    found = store.require(category)
    if wanted is None:
        entries = store.history(category)
        if as_json:
            print_json([asdict(entry) for entry in entries])
            return
        rows = [(e.after, e.when[:19] + "Z", e.who, e.action, e.reason) for e in entries]
        print_table(("version", "when", "who", "what", "why"), rows)
        return
    each = found.find(wanted)
    members = found.of_type(each.id)
    if as_json:
        print_json(facts_of(found, each) | {"members": [asdict(member) for member in members]})
        return
    facts = facts_of(found, each) | {"nearest": _nearest(facts_of(found, each))}
    print_table(("", ""), [(k, str(v)) for k, v in facts.items() if v is not None])
    header = ("image", "day", "confidence", "p", "by", "also", "source")
    cells = [_cells(member) for member in members[:_SHOWN]]
    print_table(header, cells)
    if len(members) > _SHOWN:
        typer.echo(f"and {len(members) - _SHOWN} more; --json lists them all")


def _origin(category: str | None, images: Path | None, maps: Path | None) -> Origin:
    from normscape.discovery.run import Origin

    if maps is not None and images is None:
        raise UsageError("--maps without --images; name the folder of the images, too")
    return Origin(images, maps, category)


def _sentence(each: Sorted) -> str:
    found = each.discovery
    catalogue = found.catalogue
    if not found.new_images and not found.refitted:
        return f"{catalogue.category}: nothing new; {len(catalogue.living)} types"
    how = "learned anew" if found.refitted else "added to what is known"
    return (
        f"{catalogue.category}: {len(found.new_images)} new images, {how}; "
        f"{len(catalogue.living)} types, {len(found.new_types)} of them new, "
        f"{catalogue.counts[None]} images of no type; catalogue v{catalogue.version:04d}"
    )


def _outcome(each: Sorted) -> dict[str, Any]:
    from normscape.discovery.facts import facts_of

    found = each.discovery
    return {
        "category": found.catalogue.category,
        "catalogue": found.catalogue.version,
        "refitted": found.refitted,
        "new_images": list(found.new_images),
        "new_types": list(found.new_types),
        "stability": found.count.stability if found.count else None,
        "types": [facts_of(found.catalogue, one) for one in found.catalogue.living],
        "unsorted": found.catalogue.counts[None],
        "notes": list(found.notes),
    }


def _nearest(row: dict[str, Any]) -> str:
    return f"{row['nearest']} ({row['cosine']:.2f})" if row["nearest"] else ""


def _title(catalogue: Catalogue, wanted: str | None) -> str | None:
    return next((each.title for each in catalogue.types if each.id == wanted), None)


def _regions(verdict: Verdict) -> str:
    found = Counter(region.type or "unseen" for region in verdict.regions)
    return ", ".join(f"{count} x {name}" for name, count in found.items())


def _cells(member: Member) -> tuple[str, ...]:
    return (
        member.sha256[:12], member.day, f"{member.confidence:.2f}", f"{member.p_value:.3g}",
        member.by, ", ".join(member.also), member.source,
    )  # fmt: skip


for change in (name, merge, split, label):
    defects_app.command()(change)
