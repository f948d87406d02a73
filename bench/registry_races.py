"""Races, faults and kills on the registries: local, moto's server, and SeaweedFS.

The processes that race and die, and the proxy that breaks things, are those of the tests; here they
are counted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.record import Claim
from normscape.errors import NormscapeError
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION, Registry
from normscape.registry.local import LocalRegistry
from normscape.registry.promotion import promote, rollback
from normscape.registry.s3 import S3Registry
from normscape.storage.client import connect
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET, seaweedfs
from tests.conftest import moto_server
from tests.faults import KINDS, Fault, faulty_proxy
from tests.unit.registry.bundles import write_small_bundle
from tests.unit.registry.racing import killed_at, race, steps_of

RACERS = 32
POINTS = 10
ROLLBACK_SECONDS = 5.0

_MODEL_BYTES = 20_000_000

Open = Callable[[str], Registry]
"""Opens the registry of a name, in any process."""


def measured(repetitions: int) -> tuple[dict[str, Any], list[Claim]]:
    """Run everything and return the raw figures and what they say.

    Args:
        repetitions: Of every race, at every store.
    """
    raw: dict[str, Any] = {"repetitions": repetitions, "racers": RACERS, "stores": {}}
    for name, place in (("local", _local), ("moto", _moto), ("seaweedfs", _seaweedfs)):
        with tempfile.TemporaryDirectory() as scratch, place(Path(scratch)) as opener:
            found = _races(opener, Path(scratch) / "bundles", repetitions)
            found["rollback_seconds"] = _rollback(opener("rollback"), Path(scratch) / "rollback")
            if name != "moto":
                found["kills"] = _kills(opener, Path(scratch) / "kills", scratch)
            if name == "seaweedfs":
                raw["faults"] = _faults(opener, Path(scratch) / "faults")
            raw["stores"][name] = found
            if name == "local":
                _make_writable(Path(scratch))
    return raw, _claims(raw)


@contextmanager
def _local(scratch: Path) -> Iterator[Open]:
    yield lambda name: LocalRegistry(scratch / "registries" / name)


@contextmanager
def _moto(scratch: Path) -> Iterator[Open]:
    with moto_server() as environment, _environment(environment):
        yield _opener(scratch)


@contextmanager
def _seaweedfs(scratch: Path) -> Iterator[Open]:
    with seaweedfs(scratch / "server") as service, _environment(service.environment):
        yield _opener(scratch)


def _opener(scratch: Path) -> Open:
    return lambda name: S3Registry(ObjectStore(S3Location(BUCKET, name)), scratch / "cache" / name)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _races(opener: Open, folder: Path, repetitions: int) -> dict[str, Any]:
    """How often a race had another number of winners than one, or ended at a wrong version."""
    bundle = write_small_bundle(folder / "good")
    weak = write_small_bundle(folder / "weak", passed=False)
    found = {"wrong_claims": 0, "wrong_moves": 0, "unverified_in_production": 0, "seconds": 0.0}
    start = time.monotonic()
    for step in range(repetitions):
        registry, unused = opener(f"race-{step}"), opener(f"race-{step}")
        claimed = race(lambda i, r=unused: r.register(bundle, reason=f"racer {i}"), RACERS)
        expected = [f"v{i:04d}" for i in range(1, RACERS + 1)]
        found["wrong_claims"] += sorted(claimed) != expected or registry.versions() != expected

        def move(i: int, r: Registry = unused, versions: list[str] = expected) -> str:
            r.set_alias("candidate", versions[i], expected=None, reason=f"racer {i}")
            return "won"

        results = race(move, RACERS)
        state = registry.alias_state("candidate")
        right = results.count("won") == 1 and state is not None and state.generation == 1
        found["wrong_moves"] += not (right and expected[results.index("won")] == state.version)
        failed = registry.register(weak, reason="weak")

        pair = ("v0001", failed)[:: 1 if step % 2 else -1]

        def gate(i: int, r: Registry = unused, pair: tuple[str, ...] = pair) -> str:
            promote(r, pair[i], expected=None, reason=f"gate {i}")
            return "promoted"

        race(gate, 2)
        found["unverified_in_production"] += registry.alias(PRODUCTION) != "v0001"
    found["seconds"] = round(time.monotonic() - start, 1)
    return found


def _rollback(registry: Registry, folder: Path) -> float:
    """Seconds that a rollback of a version with a model of 20 MB takes, verification included."""
    state = None
    for number in range(2):
        bundle = write_small_bundle(folder / str(number), size=_MODEL_BYTES)
        version = registry.register(bundle, reason="x")
        state = registry.set_alias(PRODUCTION, version, expected=state, reason="x")
    start = time.monotonic()
    rollback(registry, reason="x")
    return round(time.monotonic() - start, 3)


def _kills(opener: Open, folder: Path, place: str) -> dict[str, int]:
    """Kill -9 at ten points of registering: what was broken afterwards."""
    registry = opener("kills")
    registry.register(write_small_bundle(folder / "first"), reason="x")
    counted = write_small_bundle(folder / "counted")
    steps = steps_of(lambda: opener("kills").register(counted, reason="x"), place)
    points = sorted({1 + round(i * (steps - 1) / (POINTS - 1)) for i in range(POINTS)})
    found = {"steps": steps, "killed": 0, "broken": 0}
    for point in points:
        bundle = write_small_bundle(folder / str(point))
        found["killed"] += killed_at(
            point, lambda b=bundle: opener("kills").register(b, reason="killed"), place
        )
        found["broken"] += not _is_sound(registry)
    return found


def _faults(opener: Open, folder: Path) -> list[dict[str, Any]]:
    """A row for every kind of fault and every job: how it ended, and whether anything was lost."""
    sound = opener("faults")
    bundles = [write_small_bundle(folder / str(number)) for number in range(2)]
    versions = [sound.register(bundle, reason="x") for bundle in bundles]
    sound.set_alias("candidate", versions[0], expected=None, reason="x")
    rows = []
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], hang_seconds=0.8) as proxy:
        with _environment({"AWS_ENDPOINT_URL": proxy.endpoint}):
            client = connect(read_seconds=0.5, attempts=2)
        store = ObjectStore(S3Location(BUCKET, "faults"), client)

        def move() -> None:
            registry = S3Registry(store, folder / "copies")
            state = registry.alias_state("candidate")
            to = next(v for v in versions if state is None or v != state.version)
            registry.set_alias("candidate", to, expected=state, reason="x")

        def load() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as cache:
                Bundle.load(S3Registry(store, Path(cache)).get(versions[0]))

        jobs = {
            "register": lambda: S3Registry(store, folder).register(bundles[0], reason="x"),
            "move an alias": move,
            "load": load,
        }
        for kind in KINDS:
            for job, work in jobs.items():
                for times in (1, 10_000):
                    proxy.faults = [Fault(kind, "(GET|PUT) .*/(objects|versions|aliases)/", times)]
                    ended = _ended(work)
                    proxy.faults.clear()
                    rows.append({
                        "fault": kind, "job": job, "lasting": times > 1, "ended": ended,
                        "sound": _is_sound(sound),
                    })  # fmt: skip
    return rows


def _ended(work: Callable[[], Any]) -> str:
    try:
        work()
    except NormscapeError:
        return "refused"
    return "done"


def _is_sound(registry: Registry) -> bool:
    """Whether everything that can be seen is whole, and the log tells of all of it."""
    try:
        for version in {*registry.versions(), *registry.aliases().values()}:
            registry.verify(version)
        history = registry.history()
    except NormscapeError:
        return False
    registered = {entry.after for entry in history.entries if entry.action == "register"}
    generations: dict[str, list[int]] = {}
    for entry in history.entries:
        if entry.alias:
            generations.setdefault(entry.alias, []).append(entry.generation)
    gapless = all(found == list(range(1, len(found) + 1)) for found in generations.values())
    return registered == set(registry.versions()) and gapless and not history.torn_lines


def _claims(raw: dict[str, Any]) -> list[Claim]:
    stores = raw["stores"].values()
    how = f"{raw['repetitions']} races on each of local, moto and SeaweedFS"
    kills = [found["kills"] for found in stores if "kills" in found]
    unsound = sum(not row["sound"] for row in raw["faults"])
    slowest = max(found["rollback_seconds"] for found in stores)

    def none(what: str, value: float, how: str) -> Claim:
        return Claim(f"registry.{what}", value, 0, "times", "exactly", how)

    return [
        none("wrong_claims", sum(f["wrong_claims"] for f in stores), f"{how} of 32 registrations"),
        none("wrong_moves", sum(f["wrong_moves"] for f in stores), f"{how} of 32 alias moves"),
        none(
            "unverified_in_production",
            sum(f["unverified_in_production"] for f in stores),
            f"{how} of two gates, one with a model that failed",
        ),
        none(
            "broken_by_kills",
            sum(found["broken"] for found in kills),
            f"kill -9 at {POINTS} points of registering, local and SeaweedFS",
        ),
        none(
            "broken_by_faults",
            unsound,
            f"{len(raw['faults'])} jobs through a proxy that breaks requests to SeaweedFS",
        ),
        Claim(
            "registry.rollback", slowest, ROLLBACK_SECONDS, "s", "at most",
            "the slowest store, a model of 20 MB, verification included",
        ),
    ]  # fmt: skip


def _make_writable(folder: Path) -> None:
    for path in folder.rglob("v*"):
        if path.is_dir():
            path.chmod(0o755)
