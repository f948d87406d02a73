"""What a manifest must satisfy, as a Great Expectations suite with Data Docs.

Two tables are checked: `images` (the manifest, with what the checks compare side by side) and
`categories` (one row per category with its counts).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from normscape.data.data_docs import RUN_TIME, docs_site, finish_pages
from normscape.data.manifest import category_counts
from normscape.errors import NormscapeError

if TYPE_CHECKING:
    from normscape.sections.data import ValidateParams

_ANY = "any_category"
_EMPTY = "mask_not_empty"
_INDEX = {"images": "path", "categories": "category"}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, on all images or on one category.

    Attributes:
        name: Name of the check, such as `decodable`.
        category: The category it is about; None for a check on all images.
        success: Whether the data satisfy it.
        found: What was found, in words.
        expected: What was expected, in words.
        files: The offending images, relative to the data folder, sorted; also tolerated ones.
    """

    name: str
    category: str | None
    success: bool
    found: str
    expected: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One expectation of the suite and how its offenders are told.

    Attributes:
        name: Name in `result.json`.
        table: The table it is on.
        kind: Name of the class in `great_expectations.expectations`.
        arguments: Its arguments.
        expected: What is expected: of `images` a sentence, of `categories` what each has.
        detail: Of `images`: the column that says why an image offends. Of `categories`: what kind
            of images the column counts.
    """

    name: str
    table: Literal["images", "categories"]
    kind: str
    arguments: dict[str, Any]
    expected: str
    detail: str | None = None

    @property
    def description(self) -> str:
        """The sentence for the Data Docs."""
        return self.expected if self.table == "images" else f"every category has {self.expected}"


def checks(params: ValidateParams) -> list[Check]:
    """The suite, in the order in which it is reported."""
    return [
        Check(
            _ANY, "categories", "ExpectTableRowCountToBeBetween", {"min_value": 1},
            "images, and there is at least one category",
        ),
        _at_least("train", params.min_train, "training", "min_train"),
        _at_least("calibration", params.min_calibration, "calibration", "min_calibration"),
        _at_least("test_normal", params.min_test_normal, "normal test", "min_test_normal"),
        _null("decodable", "error", "every image can be decoded completely"),
        Check(
            "large_enough", "images", "ExpectColumnValuesToBeBetween",
            {"column": "shorter_side", "min_value": params.min_side},
            f"every image has at least {params.min_side} pixels a side (validate.min_side)",
            "image_size",
        ),
        _null("normal_training", "trained_defect", "only normal images are trained on"),
        _null("one_split", "same_image", "no image (by SHA-256) is in two splits"),
        _null("group_together", "same_group", "no group has normals in test and in another split"),
        _null(
            "mask_present", "mask_missing",
            "every anomalous image has a mask, in a category that has masks at all",
        ),
        _null("mask_readable", "mask_error", "every mask can be decoded"),
        Check(
            "mask_size", "images", "ExpectColumnPairValuesToBeEqual",
            {
                "column_A": "mask_size",
                "column_B": "image_size",
                "ignore_row_if": "either_value_is_missing",
            },
            "every mask has the size of its image",
            "sizes",
        ),
        Check(
            _EMPTY, "categories", "ExpectColumnValuesToBeBetween",
            {"column": "empty_mask_share", "max_value": params.max_empty_mask_share},
            f"at most {params.max_empty_mask_share:.1%} of its masks that mark no pixel "
            "(validate.max_empty_mask_share)",
        ),
    ]  # fmt: skip


def _at_least(column: str, limit: int, what: str, parameter: str) -> Check:
    return Check(
        f"enough_{column}",
        "categories",
        "ExpectColumnValuesToBeBetween",
        {"column": column, "min_value": limit},
        f"at least {_images(limit, what)} (validate.{parameter})",
        what,
    )


def _images(count: int, what: str = "") -> str:
    return f"{count} {what}{' ' if what else ''}image{'' if count == 1 else 's'}"


def _null(name: str, column: str, expected: str) -> Check:
    return Check(name, "images", "ExpectColumnValuesToBeNull", {"column": column}, expected, column)


def image_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest with one column per check, null where an image is in order."""
    table = manifest[["path", "category", "error", "mask_error"]].copy()
    decoded = manifest["error"].isna()
    anomalous, test = manifest["label"] == 1, manifest["split"] == "test"
    has_mask = manifest["mask"].notna()
    table["image_size"] = _size(manifest["width"], manifest["height"]).where(decoded)
    table["shorter_side"] = manifest[["width", "height"]].min(axis=1).where(decoded)
    table["mask_size"] = _size(manifest["mask_width"], manifest["mask_height"])
    table["sizes"] = "mask " + table["mask_size"] + ", image " + table["image_size"]
    table["trained_defect"] = manifest["defect_type"].where(anomalous & ~test)
    table["same_image"] = _elsewhere(manifest["sha256"], manifest["split"], manifest["path"])
    # A group that is an image's own hash is told by same_image already.
    grouped = ~anomalous & (manifest["group"] != manifest["sha256"])
    group = (manifest["category"] + "/" + manifest["group"]).where(grouped)
    side = test.map({True: "test", False: "other"})
    table["same_group"] = _elsewhere(group, side, manifest["path"])
    with_masks = set(manifest.loc[has_mask, "category"])
    needs_mask = anomalous & test & manifest["category"].isin(with_masks)
    table["mask_missing"] = manifest["defect_type"].where(needs_mask & ~has_mask)
    table["empty_mask"] = manifest["mask_pixels"].eq(0).fillna(False).astype(bool)
    return table


def category_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the counts per category and the share of its masks that mark no pixel."""
    table = category_counts(manifest)
    read = manifest[manifest["mask_pixels"].notna()]
    empty = read["mask_pixels"].eq(0).astype("float64").groupby(read["category"]).mean()
    table["empty_mask_share"] = table["category"].map(empty).fillna(0.0)
    return table


def _size(width: pd.Series, height: pd.Series) -> pd.Series:
    return width.astype("string") + "x" + height.astype("string")


def _elsewhere(key: pd.Series, place: pd.Series, path: pd.Series) -> pd.Series:
    """Per row the first path of equal key in another place; null where there is none."""
    frame = pd.DataFrame({"key": key, "place": place, "path": path})
    known = frame.dropna(subset=["key"])
    spread = known.groupby("key")["place"].nunique()
    suspects = known[known["key"].isin(spread[spread > 1].index)]
    found: dict[Any, str] = {}
    for _, rows in suspects.groupby("key"):
        first = rows.drop_duplicates("place").set_index("place")["path"]
        for index, here in rows["place"].items():
            found[index] = f"also {first.drop(here).min()}"
    return pd.Series(found, index=frame.index, dtype="object")


def check_manifest(manifest: pd.DataFrame, params: ValidateParams, docs: Path) -> list[Finding]:
    """Run the suite on a manifest and write its Data Docs.

    Args:
        manifest: As `read_manifest` returns it.
        params: The limits.
        docs: Folder for the Data Docs.

    Returns:
        One finding per check on images, one per category for each check on categories.

    Raises:
        NormscapeError: An expectation could not be evaluated.
    """
    suite = checks(params)
    images, categories = image_table(manifest), category_table(manifest)
    results = _evaluate(suite, {"images": images, "categories": categories}, docs)
    findings: list[Finding] = []
    for check in suite:
        result = results[check.name]
        if raised := _exception(result):
            raise NormscapeError(f"the expectation '{check.name}' could not be evaluated: {raised}")
        if check.table == "images":
            findings.append(_image_finding(check, result, images))
        elif check.name == _ANY:
            found = f"{len(categories)} categories"
            findings.append(
                Finding(check.name, None, bool(result["success"]), found, "at least one category")
            )
        else:
            findings += _category_findings(check, result, categories, images)
    return findings


def _category_findings(
    check: Check, result: dict[str, Any], categories: pd.DataFrame, images: pd.DataFrame
) -> list[Finding]:
    offenders = {row["category"] for row in result["result"].get("unexpected_index_list") or []}
    findings = []
    for category, value in categories.set_index("category")[check.arguments["column"]].items():
        files: tuple[str, ...] = ()
        if check.name == _EMPTY:
            own = images[images["category"] == category]
            files = tuple(sorted(own.loc[own["empty_mask"], "path"]))
            found = f"{len(files)} masks that mark no pixel ({value:.1%})"
        else:
            found = _images(int(value), check.detail or "")
        success = category not in offenders
        findings.append(Finding(check.name, str(category), success, found, check.expected, files))
    return findings


def _image_finding(check: Check, result: dict[str, Any], images: pd.DataFrame) -> Finding:
    offenders = result["result"].get("unexpected_index_list") or []
    paths = sorted(row["path"] for row in offenders)
    found = _images(len(paths))
    if paths and check.detail:
        reason = images.set_index("path").loc[paths[0], check.detail]
        found += f", the first: {reason}"
    success = bool(result["success"])
    return Finding(check.name, None, success, found, check.expected, tuple(paths))


def _evaluate(
    suite: Sequence[Check], tables: dict[str, pd.DataFrame], docs: Path
) -> dict[str, dict[str, Any]]:
    """Evaluate the checks; returns the result of Great Expectations by the check's name."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    # Untyped on purpose: the package's own annotations refuse the calls its manual shows.
    gx: Any = importlib.import_module("great_expectations")
    kinds: Any = importlib.import_module("great_expectations.expectations")
    checkpoints: Any = importlib.import_module("great_expectations.checkpoint")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    context.delete_data_docs_site("local_site")
    context.add_data_docs_site("data_docs", docs_site(docs))
    update_docs = checkpoints.UpdateDataDocsAction(name="data_docs", site_names=["data_docs"])
    source = context.data_sources.add_pandas("manifest")
    results: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        expectations = [
            getattr(kinds, check.kind)(
                **check.arguments, description=check.description, meta={"name": check.name}
            )
            for check in suite
            if check.table == name
        ]
        asset = source.add_dataframe_asset(name)
        definition = gx.ValidationDefinition(
            name=name,
            data=asset.add_batch_definition_whole_dataframe("all"),
            suite=context.suites.add(gx.ExpectationSuite(name, expectations=expectations)),
        )
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[context.validation_definitions.add(definition)],
            actions=[update_docs],
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": [_INDEX[name]],
            },
        )
        outcome = context.checkpoints.add(checkpoint).run(
            batch_parameters={"dataframe": table},
            run_id=gx.RunIdentifier(run_name="manifest", run_time=RUN_TIME),
        )
        (validation,) = outcome.run_results.values()
        for result in validation.results:
            results[result.expectation_config.meta["name"]] = result.to_json_dict()
    finish_pages(docs)
    return results


def _exception(result: dict[str, Any]) -> str | None:
    """The message of an exception inside an expectation, which is no verdict on the data."""
    info = result.get("exception_info") or {}
    # One dictionary, or one per metric that failed.
    for part in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if part.get("raised_exception"):
            return str(part.get("exception_message"))
    return None
