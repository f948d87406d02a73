"""Many at once: exactly one winner, and production never at what was not verified."""

import itertools

import pytest

from normscape.errors import GateError, NormscapeError
from normscape.registry.bundle import Bundle, BundleError
from normscape.registry.contract import PRODUCTION, KeepRule, StaleAliasError
from normscape.registry.promotion import promote, rollback

from .racing import REPETITIONS, fork, race

RACERS = 32

pytestmark = pytest.mark.slow


@pytest.fixture
def repetitions(request: pytest.FixtureRequest) -> int:
    """Fewer over moto, which answers slowly because it shares this process with the test."""
    return max(1, REPETITIONS // 5) if "moto" in request.node.name else REPETITIONS


def test_32_claims_give_32_numbers(store, place, make_bundle) -> None:
    folder = make_bundle(size=500)
    registry, unused = store.open(place), store.open(place)
    first = registry.register(folder, reason="the first")
    versions = race(lambda i: unused.register(folder, reason=f"racer {i}"), RACERS)
    assert sorted([first, *versions]) == registry.versions()
    assert registry.versions() == [f"v{i:04d}" for i in range(1, RACERS + 2)]
    registered = {e.after: e.reason for e in registry.history().entries}
    assert registered == {first: "the first"} | {v: f"racer {i}" for i, v in enumerate(versions)}


def test_32_moves_of_an_alias_have_one_winner(store, place, make_bundle, repetitions: int) -> None:
    registry, unused = store.open(place), store.open(place)
    versions = [registry.register(make_bundle(size=500), reason="x") for _ in range(3)]
    for step in range(repetitions):
        expected = registry.alias_state("candidate")

        def move(i: int, expected=expected) -> str:
            version = versions[i % len(versions)]
            unused.set_alias("candidate", version, expected=expected, reason=f"racer {i}")
            return "won"

        results = race(move, RACERS)
        assert sorted(results) == ["StaleAliasError"] * (RACERS - 1) + ["won"]
        state = registry.alias_state("candidate")
        assert state is not None
        assert state.generation == step + 1
        assert state.version == versions[results.index("won") % len(versions)]
        last = [e for e in registry.history().entries if e.alias == "candidate"][-1]
        assert last.reason == f"racer {results.index('won')}"
    moves = [e.generation for e in registry.history().entries if e.alias == "candidate"]
    assert moves == list(range(1, repetitions + 1))


def test_two_gates_never_put_an_unverified_version_into_production(
    store, place, make_bundle
) -> None:
    registry, unused = store.open(place), store.open(place)
    good = [registry.register(make_bundle(size=500), reason="good") for _ in range(2)]
    weak = registry.register(make_bundle(size=500, passed=False), reason="weak")
    damaged = registry.register(make_bundle(size=600), reason="damaged")
    store.damage(place, damaged)
    done = fork.Event()
    seen = fork.Queue()

    def watch() -> None:
        mine = store.open(place)
        while not done.is_set():
            seen.put(mine.alias(PRODUCTION))
        seen.put("end")

    watcher = fork.Process(target=watch)
    watcher.start()
    orders = itertools.cycle(itertools.permutations([*good, weak, damaged], 2))
    for _, pair in zip(range(REPETITIONS), orders, strict=False):
        before = registry.alias_state(PRODUCTION)

        def gate(i: int, pair=pair, before=before) -> str:
            promote(unused, pair[i], expected=before, reason=f"gate {i}")
            return "promoted"

        results = race(gate, 2)
        after = registry.alias_state(PRODUCTION)
        if after is not None:
            assert after.generation <= (before.generation if before else 0) + 1
            assert after.version in good
            registry.verify(after.version)
        for version, result in zip(pair, results, strict=True):
            if version == weak:
                assert result == GateError.__name__
            if version == damaged:
                assert result == BundleError.__name__
    done.set()
    named = set(iter(lambda: seen.get(timeout=60), "end"))
    watcher.join()
    assert named <= {None, *good}


def test_collection_beside_registrations_and_moves_takes_nothing_that_is_needed(
    store, place, make_bundle
) -> None:
    registry, unused = store.open(place), store.open(place)
    folders = [make_bundle(size=500) for _ in range(3)]
    for folder in folders:
        registry.register(folder, reason="x")
    rounds = max(2, REPETITIONS // 2)

    def work(i: int) -> str:
        for _ in range(rounds):
            try:
                if i == 0:
                    unused.collect(KeepRule(1, 0.0), reason="race")
                    continue
                # The same content as collected versions have: their objects are wanted again.
                version = unused.register(folders[i % 3], reason=f"racer {i}")
                state = unused.alias_state(PRODUCTION)
                if i == 1 and state is not None and state.trail:
                    rollback(unused, reason="race")
                else:
                    promote(unused, version, expected=state, reason="race")
            except (StaleAliasError, NormscapeError) as error:
                if "is missing" in str(error) or "damaged" in str(error):
                    return str(error)
        return "fine"

    assert set(race(work, 4)) == {"fine"}
    state = registry.alias_state(PRODUCTION)
    assert state is not None
    for version in {state.version, *state.trail, *registry.versions()}:
        registry.verify(version)
        Bundle.load(registry.get(version))
    gone = registry.collected_names()
    assert not set(gone) & set(registry.versions())
    assert {e.after for e in registry.history().entries if e.action == "collect"} == set(gone)
    numbers = [s.version for s in registry.summaries()]
    assert numbers == [f"v{i:04d}" for i in range(1, len(numbers) + 1)]
