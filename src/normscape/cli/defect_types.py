"""What people do with kinds of defects: `normscape defects name`, `merge`, `split` and `label`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normscape.cli.options import DEFAULT_PARAMS, ParamsFile, read_params

if TYPE_CHECKING:
    from normscape.discovery.catalogue import Catalogue
    from normscape.discovery.store import CatalogueStore

Category = Annotated[str, typer.Argument(help="The product.")]
Type = Annotated[str, typer.Argument(help="Id or name of the type.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for those who read it later.")]


def name(
    category: Category,
    wanted: Type,
    called: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    why: Why,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Give a kind of defect a name; its alert ends."""
    from normscape.discovery.alarm import settle
    from normscape.discovery.edit import name_type

    changed = _change(
        params, category, f"name {wanted}", why, lambda c: name_type(c, wanted, called)
    )
    each = changed.find(" ".join(called.split()))
    settle(read_params(params), changed)
    typer.echo(f"{category} {each.id} is named {each.name}")


def merge(
    category: Category,
    wanted: Type,
    into: Annotated[str, typer.Argument(help="The type that takes its images.")],
    why: Why,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Both are one kind of defect: the first goes, the second takes its images."""
    from normscape.discovery.alarm import settle
    from normscape.discovery.edit import merge_types

    before = catalogues(params).require(category).find(wanted)
    changed = _change(
        params, category, f"merge {wanted} into {into}", why,
        lambda c: merge_types(c, wanted, into),
    )  # fmt: skip
    settle(read_params(params), changed)
    kept = next(each.merged_into for each in changed.types if each.id == before.id)
    typer.echo(f"{category} {before.id} is {kept}, which has {changed.counts[kept]} images now")


def split(
    category: Category,
    wanted: Type,
    why: Why,
    *,
    parts: Annotated[int, typer.Option(help="Into so many.")] = 2,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """It is several kinds of defects: divide its images by what they look like."""
    from normscape.discovery.edit import split_type

    before = catalogues(params).require(category).find(wanted)
    changed = _change(
        params, category, f"split {wanted}", why, lambda c: split_type(c, wanted, parts)
    )
    known = {each.id for each in changed.types if each.part_of == before.id}
    for each in (before.id, *sorted(known, key=lambda one: int(one[1:]))):
        typer.echo(f"{category} {each}: {changed.counts[each]} images")


def label(
    category: Category,
    wanted: Type,
    images: Annotated[list[str], typer.Argument(help="First digits of the images' ids.")],
    why: Why,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """These images are of this kind: it counts more than what they look like, now and later."""
    from normscape.discovery.edit import label_images

    changed = _change(
        params, category, f"label {wanted}", why, lambda c: label_images(c, wanted, images)
    )
    each = changed.find(wanted)
    typer.echo(f"{category} {each.title} has {changed.counts[each.id]} images")


def _change(
    params: Path, category: str, action: str, why: str, change: Callable[[Catalogue], Catalogue]
) -> Catalogue:
    store = catalogues(params)
    return store.save(change(store.require(category)), action=action, reason=why)


def catalogues(params: Path) -> CatalogueStore:
    """The catalogues of the project of a parameter file."""
    from normscape.discovery.store import CatalogueStore

    return CatalogueStore.of(read_params(params))
