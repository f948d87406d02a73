"""Stage `validate`: stop the run unless the manifest meets the expectations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from normscape.data.expectations import Finding, check_manifest
from normscape.data.manifest import read_manifest
from normscape.errors import DataError
from normscape.files import atomic_folder, write_json
from normscape.params import Params

_NAMED = 3


def run(params: Params) -> None:
    """Check the manifest; write `result.json` and the Data Docs whether it passes or not.

    Raises:
        UsageError: There is no manifest yet.
        DataError: An expectation is not met; names the files.
    """
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    target = params.artifacts / "validation"
    with atomic_folder(target) as folder:
        findings = check_manifest(manifest, params.validation, folder / "data_docs")
        success = all(finding.success for finding in findings)
        expectations = [asdict(finding) for finding in findings]
        write_json(folder / "result.json", {"success": success, "expectations": expectations})
    docs = target / "data_docs" / "index.html"
    if not success:
        raise DataError(
            f"validation failed: {explain(findings)}. All files: {target / 'result.json'}; "
            f"Data Docs: {docs}; what each check means: docs/data.md"
        )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for finding in findings:
        if finding.files:
            console.print(
                f"tolerated: category '{finding.category}' has {finding.found}{_names(finding)}",
                markup=False,
            )
    console.print(f"{len(findings)} expectations met; Data Docs: {docs}", markup=False)


def explain(findings: Sequence[Finding]) -> str:
    """Return the failed findings in one line: first those of each category, then those of files."""
    of_category: dict[str, list[str]] = defaultdict(list)
    of_files = []
    for finding in findings:
        if finding.success:
            continue
        found = f"{finding.found}{_names(finding)}"
        if finding.category is None:
            of_files.append(f"expected: {finding.expected}; found: {found}")
        else:
            of_category[finding.category].append(f"{found}, expected {finding.expected}")
    categories = [f"category '{name}' has {', '.join(what)}" for name, what in of_category.items()]
    return "; ".join([*categories, *of_files])


def _names(finding: Finding) -> str:
    named = ", ".join(finding.files[:_NAMED])
    more = len(finding.files) - _NAMED
    return f" ({named}{f' and {more} more' if more > 0 else ''})" if named else ""
