"""Stage `prototypes`: fit the token transform, the two banks and the category head."""

from __future__ import annotations

import torch
from rich.console import Console

from normscape.backbones import select_device
from normscape.backbones.runtime import available_cores
from normscape.data.manifest import read_manifest
from normscape.detectors.kinds import hold_out_percent, kind_of
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.features.transform import TokenTransform
from normscape.files import atomic_folder
from normscape.params import Params
from normscape.prototypes.artifact import Prototypes
from normscape.prototypes.categories import CategoryHead
from normscape.prototypes.global_bank import GlobalBank
from normscape.prototypes.local import LocalBank, local_loss
from normscape.prototypes.sample import TokenSample, sample_tokens
from normscape.prototypes.spaces import CategorySpaces
from normscape.prototypes.training import (
    TrainingImages,
    stream_maps,
    stream_tokens,
    training_images,
)

_LOSS_TOKENS = 8192


def run(params: Params) -> None:
    """Write `artifacts/prototypes`.

    Raises:
        DataError: There are too few training images, or one cannot be read.
        UsageError: The manifest is missing, or a parameter does not fit the backbone.
        NormscapeError: The features cannot be extracted or the result cannot be written.
    """
    torch.set_num_threads(available_cores())
    torch.use_deterministic_algorithms(True, warn_only=True)
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    images, _ = training_images(manifest, hold_out_percent(params))
    store = ensure_features(params, images.items(params.data))
    prototypes = fit(params, images, store, select_device())
    with atomic_folder(params.artifacts / "prototypes") as folder:
        prototypes.save(folder)
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{len(images)} images of {len(images.categories)} categories: "
        f"{len(prototypes.local)} local and {len(prototypes.globally)} global prototypes",
        markup=False,
    )


def fit(
    params: Params, images: TrainingImages, store: FeatureStore, device: torch.device
) -> Prototypes:
    """Fit everything on the training images, in two passes over their features."""
    settings, batch = params.prototypes, params.features.batch_size
    kind = kind_of(params.detector.name)
    transform = TokenTransform.fit(
        stream_maps(store, images.hashes, batch),
        params.features,
        store.shapes,
        seed=settings.seed,
        by_level=kind.by_level,
    )
    transform = transform.to(device)
    tokens = stream_tokens(
        store,
        transform,
        images.hashes,
        batch_size=batch,
        device=device,
    )
    sample = sample_tokens(tokens, images.labels, settings.sample_tokens, settings.seed)
    head = CategoryHead.fit(sample.embedding, sample.category, images.categories)
    categories = range(len(images.categories))
    spaces = CategorySpaces.fit([sample.of_category(c) for c in categories], settings.norm_power)
    local = LocalBank.fit(
        [spaces.enter(sample.of_category(c).float(), c).to(device) for c in categories],
        per_category=kind.prototypes(params),
        iterations=settings.local_steps,
        neighbours=settings.local_neighbours,
        temperature=settings.temperature,
        seed=settings.seed,
    )
    globally, transport = GlobalBank.fit(
        [sample.embeddings_of_category(c).to(device) for c in categories],
        per_category=settings.global_per_category,
        steps=settings.global_steps,
        neighbours=settings.global_neighbours,
        regularisation=settings.ot_regularisation,
        marginal=settings.ot_marginal,
        seed=settings.seed,
    )
    record = {
        "images": len(images),
        "tokens": len(sample.tokens),
        "local_prototypes": len(local.prototypes),
        "global_prototypes": len(globally.prototypes),
        "local_loss": _mean_loss(local, spaces, sample, settings.seed),
        "transport_loss": {"first": transport[0], "last": transport[-1]} if transport else {},
    }
    return Prototypes(
        transform,
        spaces,
        local.prototypes,
        local.sizes,
        globally.prototypes,
        head,
        images.categories,
        record,
    )


@torch.no_grad()
def _mean_loss(bank: LocalBank, spaces: CategorySpaces, sample: TokenSample, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    share = max(1, _LOSS_TOKENS // len(bank.sizes))
    losses = []
    for category in range(len(bank.sizes)):
        tokens = sample.of_category(category)
        rows = torch.randperm(len(tokens), generator=generator)[:share]
        inside = spaces.enter(tokens[rows].float(), category)
        match = bank(inside.to(bank.prototypes.device), category)
        losses.append(local_loss(match).item())
    return sum(losses) / len(losses)
