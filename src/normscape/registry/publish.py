"""From the artifacts of a finished training to a registered, perhaps promoted, version."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from normscape.errors import GateError
from normscape.files import exclusive_lock, read_json
from normscape.params import Params
from normscape.registry import promotion
from normscape.registry.champion import compare_with_champion
from normscape.registry.code import read_code_state
from normscape.registry.contract import PRODUCTION
from normscape.registry.gate import GateDecision, decide
from normscape.registry.store import open_registry
from normscape.registry.writer import write_bundle


@dataclass(frozen=True)
class PublishResult:
    """What became of a model.

    Attributes:
        version: The version it was registered as.
        decision: The gate's.
        champion: The version that was in production before, or None.
        promoted: Whether it is in production now.
        refusal: Why it was not promoted although that was asked for, or None.
    """

    version: str
    decision: GateDecision
    champion: str | None
    promoted: bool
    refusal: str | None


def publish(
    params: Params, *, reason: str, allow_dirty: bool = False, promote: bool = True
) -> PublishResult:
    """Gate, bundle, register, and promote the model in `params.artifacts`.

    Every model is registered, with its decision; only one that passed the gate and whose code can
    be traced is promoted. Whatever fails on the way leaves `production` where it was.

    Args:
        params: The parameters it was trained with.
        reason: For the audit log.
        allow_dirty: Promote in spite of uncommitted changes of the checkout.
        promote: Whether to promote at all.

    Raises:
        UsageError: A stage has not run, or ran with other parameters.
        StaleAliasError: `production` was moved while the model was compared with it.
        BusyError: Another process is publishing from the same checkout.
        NormscapeError: The champion cannot be scored again, or the registry cannot be written.
    """
    registry = open_registry(params)
    with exclusive_lock(params.state / "locks" / "publish.lock", "publishing"):
        state = registry.alias_state(PRODUCTION)
        champion = state.version if state else None
        code = read_code_state(params.root)
        metrics = read_json(params.artifacts / "evaluation" / "metrics.json")
        comparison = compare_with_champion(registry, champion, params) if champion else None
        decision = decide(metrics, comparison, params.gate)
        staging = params.state / "publish"
        shutil.rmtree(staging, ignore_errors=True)  # what a killed run has left
        try:
            write_bundle(staging / "bundle", params, code, decision)
            version = registry.register(staging / "bundle", reason=reason)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        refusal = None
        if promote:
            try:
                promotion.promote(
                    registry, version, expected=state, reason=reason, allow_dirty=allow_dirty
                )
            except GateError as error:
                refusal = str(error)
    return PublishResult(version, decision, champion, promote and refusal is None, refusal)
