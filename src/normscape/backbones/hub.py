"""Weights from the hub that timm publishes on. An unreachable hub is an error within seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from normscape.backbones.network import check_name, pretrained_config
from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_path

_ANSWER_SECONDS = 5.0


def fetch_hub(name: str, folder: Path) -> Path:
    """Return the file `<folder>/<name>.safetensors`, downloading it the first time.

    The downloader's own retries take most of a minute when there is no network, so the hub is
    asked once for an answer first; without one, only what its local cache holds is used.

    Raises:
        UsageError: timm does not know the network or publishes no weights for it.
        NormscapeError: The hub does not answer and its local cache has no copy, or the download
            fails.
    """
    path = folder / f"{name}.safetensors"
    if path.is_file():
        return path
    check_name(name)
    config = pretrained_config(name)
    if not config.has_weights:
        raise UsageError(
            f"backbone.weights is 'hub', but no weights of '{name}' are published; "
            "name a pretrained variant (timm.list_pretrained()) or give a file"
        )
    import timm
    from huggingface_hub import constants
    from safetensors.torch import save_file

    online = _answers(constants.ENDPOINT)
    try:
        with _offline(not online):
            network = timm.create_model(name, pretrained=True)
    except Exception as error:
        # Anything can come out of a download through three libraries; each means the same here.
        reason = str(error).strip().splitlines()[0] if online else "the hub does not answer"
        raise NormscapeError(
            f"weights of {name} cannot be fetched from {constants.ENDPOINT}: {reason}; check the "
            "network and HF_ENDPOINT, or set backbone.weights to 'package', a file or s3://"
        ) from error
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary)
    return path


def _answers(endpoint: str) -> bool:
    question = Request(endpoint, method="HEAD")  # noqa: S310 (the hub's own address)
    try:
        with urlopen(question, timeout=_ANSWER_SECONDS):  # noqa: S310
            return True
    except HTTPError:
        return True  # even a refusal is an answer
    except OSError:
        return False


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    # HF_HUB_OFFLINE is read once, when the library is imported: too early to know.
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
