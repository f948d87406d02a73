"""`normscape models export`: a model for machines without Normscape."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json


def export(
    *,
    name: Annotated[str, typer.Argument(help="A version or an alias.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to make; it must not exist.")],
    kind: Annotated[
        str, typer.Option("--format", help="openvino, onnx or torch.", show_default=True)
    ] = "openvino",
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Images to compare on; default: the data's test images."),
    ] = None,
    params: ParamsFile = DEFAULT_PARAMS,
    as_json: AsJson = False,
) -> None:
    """Write backbone, detector and thresholds for another runtime; exit 1 if they differ."""
    from normscape.export.parity import parity_images
    from normscape.export.record import check_format
    from normscape.export.write import export_bundle
    from normscape.params import load_params
    from normscape.registry.bundle import Bundle
    from normscape.registry.store import open_registry

    loaded = load_params(params)
    registry = open_registry(loaded)
    version = registry.resolve(name)
    bundle = Bundle.load(registry.get(version))
    record = export_bundle(
        bundle,
        version,
        check_format(kind),
        out,
        images=parity_images(loaded, images, bundle.categories),
        params=loaded,
    )
    if as_json:
        print_json(asdict(record))
        return
    found = record.parity or {}
    typer.echo(
        f"{version} as {record.kind} in {out}: on {found['images']} images of "
        f"{found['categories']} categories scores differ by at most {found['score']:.2g} and maps "
        f"by {found['map']:.2g} standard deviations of normal scores; no decision differs"
    )
