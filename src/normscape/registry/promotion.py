"""Moving `production`: forward to a version that has earned it, back when it disappoints."""

from __future__ import annotations

from normscape.errors import GateError, UsageError
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION, AliasState, Registry


def refusal(bundle: Bundle, *, allow_dirty: bool) -> str | None:
    """Why a version may not serve production, or None when it may."""
    failures = bundle.gate.failures
    if failures or not bundle.gate.passed:
        return "the gate refused it: " + "; ".join(check.explain() for check in failures)
    code = bundle.provenance.code
    if code.dirty and not allow_dirty:
        return (
            f"its code cannot be traced ({code.describe()}); commit the changes and train again, "
            "or pass --allow-dirty"
        )
    return None


def promote(
    registry: Registry,
    version: str,
    *,
    expected: AliasState | None,
    reason: str,
    allow_dirty: bool = False,
) -> AliasState:
    """Point `production` at a version; does nothing when it is there already.

    Args:
        registry: Where the version is.
        version: The version.
        expected: The state of `production` when the decision was made; None: there was none.
        reason: For the audit log.
        allow_dirty: Accept a model whose checkout had uncommitted changes.

    Raises:
        GateError: The version failed the gate, or its code cannot be traced.
        StaleAliasError: `production` has been moved since.
        BundleError: The version is damaged.
    """
    bundle = Bundle.load(registry.get(version))
    why_not = refusal(bundle, allow_dirty=allow_dirty)
    if why_not is not None:
        raise GateError(f"{version} was not promoted: {why_not}")
    if expected is not None and expected.version == version:
        return expected
    return registry.set_alias(PRODUCTION, version, expected=expected, reason=reason)


def rollback(registry: Registry, *, reason: str) -> AliasState:
    """Point `production` at the version before, along the way it came.

    Raises:
        UsageError: There is no production, or nothing before it.
        StaleAliasError: `production` has been moved in between.
        BundleError: The version before is damaged.
    """
    state = registry.alias_state(PRODUCTION)
    if state is None:
        raise UsageError("nothing is in production yet; there is nothing to roll back")
    return registry.step_back(PRODUCTION, expected=state, reason=reason)
