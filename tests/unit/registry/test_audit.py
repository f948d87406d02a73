"""The order of what happened, whatever the clocks said; and documents that were tampered with."""

import itertools
import json
from dataclasses import replace

import pytest

from normscape.errors import NormscapeError
from normscape.registry.audit import in_order, label, new_entry
from normscape.registry.contract import AliasState, AuditEntry
from normscape.registry.documents import (
    AliasDocument,
    StoredFile,
    VersionDocument,
    decode_entry,
    encode_entry,
)


def at(hour: int, entry: AuditEntry) -> AuditEntry:
    return replace(entry, when=f"2026-03-01T{hour:02d}:00:00.000000+00:00")


def moved(version: str, generation: int) -> AuditEntry:
    return new_entry("set", version, "x", alias="production", generation=generation)


def test_causes_come_before_effects_whatever_the_clocks_say() -> None:
    happened = [
        at(12, new_entry("register", "v0001", "x")),
        at(9, moved("v0001", 1)),  # by a machine that is hours behind
        at(12, new_entry("register", "v0002", "x")),
        at(23, moved("v0002", 2)),  # by one that is hours ahead
        at(13, moved("v0001", 3)),
        at(8, new_entry("collect", "v0002", "x")),
    ]
    for mixed in itertools.permutations(happened):
        ordered = [label(entry) for entry in in_order(mixed)]
        for first, then in (
            ("register-v0001", "production-00000001"),
            ("production-00000001", "production-00000002"),
            ("production-00000002", "production-00000003"),
            ("register-v0002", "production-00000002"),
            ("register-v0002", "collect-v0002"),
            ("register-v0001", "register-v0002"),
        ):
            assert ordered.index(first) < ordered.index(then)


def test_with_good_clocks_time_decides() -> None:
    happened = [
        at(1, new_entry("register", "v0001", "x")),
        at(2, new_entry("register", "v0002", "x")),
        at(3, moved("v0001", 1)),
        at(4, new_entry("register", "v0003", "x")),
        at(5, moved("v0002", 2)),
    ]
    assert in_order(reversed(happened)) == happened


DOCUMENT = VersionDocument(
    {"model.json": StoredFile("a" * 64, 7), "bundle.json": StoredFile("b" * 64, 9)},
    {"gate": "passed"},
    new_entry("register", "v0001", "because"),
)


def test_documents_are_read_as_they_were_written() -> None:
    alias = AliasDocument(AliasState("v0002", 3, ("v0001",)), moved("v0002", 3))
    assert AliasDocument.decode(alias.encode(), "x") == alias
    assert VersionDocument.decode(DOCUMENT.encode(), "x") == DOCUMENT
    assert decode_entry(encode_entry(alias.entry), "x") == alias.entry


def test_any_changed_byte_is_noticed() -> None:
    data = DOCUMENT.encode()
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            found = VersionDocument.decode(bytes(changed), "the document")
        except NormscapeError as error:
            assert "the document is damaged" in str(error)
        else:
            assert found == DOCUMENT  # the byte was space between the words


@pytest.mark.parametrize(
    "file",
    [{"../x.json": ("a" * 64, 1)}, {"model.pkl": ("a" * 64, 1)}, {"model.json": ("../" * 20, 1)},
     {"model.json": ("a" * 64, -1)}, {"model.json": ("A" * 64, 1)}, {"a/b.json": ("a" * 64, 1)}],
)  # fmt: skip
def test_a_document_cannot_lead_elsewhere(file: dict[str, tuple[str, int]]) -> None:
    hostile = replace(DOCUMENT, files={name: StoredFile(*rest) for name, rest in file.items()})
    with pytest.raises(NormscapeError, match="is damaged"):
        VersionDocument.decode(hostile.encode(), "x")


def test_a_document_of_a_newer_release_is_named() -> None:
    content = json.loads(DOCUMENT.encode()) | {"format": 3}
    with pytest.raises(NormscapeError, match="its format is 3, expected at most 2"):
        VersionDocument.decode(json.dumps(content).encode(), "x")
