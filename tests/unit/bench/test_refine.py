import torch

from bench import refine
from bench.render import RENDERERS
from normscape.refine.fusion import GUIDES


def measured(gain: float) -> dict:
    """Figures of two seeds, of which refinement raises those of pixels by `gain`."""

    def category(factor: float) -> dict[str, list[float]]:
        pixels = {m: [0.4 * factor, 0.6 * factor] for m in refine.METRICS[1:]}
        return {"image_auroc": [0.9, 0.95], **pixels}

    figures = {
        kind: {
            name: category(gain if kind == "refined" else 1.0) for name in refine.CATEGORIES
        } | {"biscuit": {"image_auroc": [1.0, 1.0]}}
        for kind in refine.KINDS
    }  # fmt: skip
    return {
        "seeds": [0, 1], "figures": figures, "training_seconds": [100.0, 120.0], "threads": 2,
        "refined_share": {"normal": [0.1, 0.1], "anomalous": [0.9, 0.9]},
        "cost": {"base_ms": 20.0, "flagged": 4.0, "unflagged": 1.0},
    }  # fmt: skip


def test_the_claims_are_relative_to_the_detectors_maps() -> None:
    found = {claim.id: claim for claim in refine.claims(measured(1.12))}
    for category in refine.CATEGORIES:
        for metric in ("pixel_ap", "pixel_f1max"):
            assert found[f"refine.{metric}_{category}"].value == 12.0
    assert all(claim.holds for claim in found.values())
    assert not all(claim.holds for claim in refine.claims(measured(1.08)))


def test_every_kind_of_map_has_a_row_a_category_with_masks() -> None:
    lines = RENDERERS["refine"](measured(1.1))
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert len(rows) == len(refine.KINDS) * len(refine.CATEGORIES)
    assert "110 s (median) on 2 thread(s)" in lines[-1]


def test_a_picture_can_stand_in_for_the_errors() -> None:
    guides = refine.picture_guides(torch.rand(1, 3, 16, 16))
    assert guides.shape == (1, GUIDES, 16, 16)
    flat = refine.picture_guides(torch.full((1, 3, 16, 16), 0.5))
    torch.testing.assert_close(flat, torch.zeros(1, GUIDES, 16, 16))
