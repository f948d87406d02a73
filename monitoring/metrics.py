"""The newest run's figures and the open alerts as Prometheus metrics: in a file, or over HTTP.

python -m monitoring.metrics --port 9108      a small exporter on loopback
"""

from __future__ import annotations

import datetime
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.last_run import LastRun, monitor_folder, read_last_run
from normscape.alerts import EVENT, AlertStore, Kind, Severity
from normscape.drift import Verdict
from normscape.errors import NormscapeError
from normscape.files import unwritable
from normscape.params import Params, load_params
from normscape.review.precision import NOTHING, precision

_STATUSES = ("open", "acknowledged", "snoozed")


class MonitorCollector(Collector):
    """Reads the monitor's files anew at each scrape."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def collect(self) -> Iterable[Metric]:
        """All metrics; those of what cannot be read are missing, and `readable` says so."""
        readable, run = True, None
        try:
            run = read_last_run(self._params)
            found = [] if run is None else list(_run_metrics(run))
        except (NormscapeError, KeyError, TypeError, ValueError):
            readable, found = False, []
        yield from found
        yield from _alert_metrics(self._params)
        yield from _precision_metrics(self._params, run.day if readable and run else None)
        yield _gauge("monitor_readable", "1 if the newest run's files are sound.", readable)


def write(params: Params) -> Path:
    """Write `metrics.prom` for the node exporter's textfile collector, atomically.

    Raises:
        NormscapeError: The folder cannot be written.
    """
    path = monitor_folder(params) / "metrics.prom"
    registry = CollectorRegistry()
    registry.register(MonitorCollector(params))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _run_metrics(run: LastRun) -> Iterator[Metric]:
    verdicts = run.verdicts
    yield _gauge(
        "monitor_last_run_timestamp_seconds", "When the newest run was made.", run.judged_at
    )
    yield _gauge("monitor_images", "Images of the newest window.", verdicts["images"])
    model = InfoMetricFamily("normscape_model", "The model that scored the newest window.")
    model.add_metric(
        [],
        {name: str(verdicts[name]) for name in ("runtime", "precision")}
        | {"version": str(verdicts["model_version"])},
    )
    yield model
    images = _family("category_images", "Images of the window.", ["category"])
    share = _family("category_flagged_share", "Share of them that were flagged.", ["category"])
    shift = _family(
        "category_shift", "Shift of the scores in the reference's standard deviations.",
        ["category"],
    )  # fmt: skip
    state = _family("category_verdict", "1 for the verdict.", ["category", "verdict"])
    since = _family(
        "category_days_since_last_image", "Days from the last image to the window's end.",
        ["category"],
    )  # fmt: skip
    for row in verdicts["categories"]:
        name = str(row["category"])
        images.add_metric([name], row["images"])
        if row["images"]:
            share.add_metric([name], row["flagged"] / row["images"])
        if row["effect"] is not None:
            shift.add_metric([name], row["effect"])
        for verdict in Verdict:
            state.add_metric([name, verdict.value], float(row["verdict"] == verdict.value))
        if name in run.last_images:
            since.add_metric([name], _days_between(run.last_images[name], run.day))
    yield from (images, share, shift, state, since)


def _alert_metrics(params: Params) -> Iterator[Metric]:
    contents = AlertStore.of(params).read()
    now = datetime.datetime.now(datetime.UTC)
    counts = Counter(
        (alert.kind, alert.severity, alert.status(now)) for alert in contents.alerts if alert.open
    )
    opened = _family("alerts_open", "Alerts that go on.", ["kind", "severity", "status"])
    for kind in Kind:
        for severity in Severity:
            for status in _STATUSES:
                opened.add_metric(
                    [kind.value, severity.value, status], counts[(kind, severity, status)]
                )
    yield opened
    receivers = (EVENT, *params.alerts.blocks)
    waiting = Counter(name for alert in contents.alerts for _, name in alert.waiting(receivers))
    unsent = _family("notices_unsent", "Notices that a receiver has not taken.", ["receiver"])
    for name in receivers:
        unsent.add_metric([name], waiting[name])
    yield unsent
    yield _gauge("alerts_damaged", "Files of alerts that cannot be read.", len(contents.damaged))


def _precision_metrics(params: Params, day: str | None) -> Iterator[Metric]:
    """What people have said of the alerts of the 90 days up to the newest run's day."""
    judged = _family(
        "alerts_judged", "Alerts of the last 90 days that a person judged.", ["kind", "truth"]
    )
    share = _family(
        "alert_precision", "Share of the judged alerts that were real; missing where none was.",
        ["kind"],
    )  # fmt: skip
    found = precision(AlertStore.of(params).read().alerts, (), day) if day else {}
    for kind in Kind:
        if kind is Kind.RETRAIN:
            continue
        alerts = found.get((kind, None), NOTHING).alerts
        judged.add_metric([kind.value, "real"], alerts.real)
        judged.add_metric([kind.value, "false_alarm"], alerts.judged - alerts.real)
        if alerts.estimate is not None:
            share.add_metric([kind.value], alerts.estimate)
    yield from (judged, share)


def _days_between(first: str, last: str) -> int:
    days = datetime.date.fromisoformat(last) - datetime.date.fromisoformat(first)
    return max(0, days.days)


def _family(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"normscape_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"normscape_{name}", text, value=float(value))


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 9108,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Serve the newest run's figures and the open alerts to Prometheus, until Ctrl-C."""
    registry = CollectorRegistry()
    try:
        registry.register(MonitorCollector(load_params(params)))
        start_http_server(port, addr=host, registry=registry)
    except NormscapeError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        sys.stderr.write(
            f"error: cannot listen on {host}:{port}: {error.strerror}; choose another --port\n"
        )
        raise typer.Exit(1) from None
    sys.stdout.write(f"http://{host}:{port}/metrics\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    typer.run(main)
