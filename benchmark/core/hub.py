"""Ask the Hub, or its cache where the Hub is silent; and the reason, in words, why a thing cannot be had from it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.core.errors import UserError, message_line

TIMEOUT = 10  # seconds; the Hub's clients themselves try for a minute and more
REMEMBERED = 60  # seconds for which a silent Hub is not asked again: two models and their data wait once
_last_silence: dict[str, tuple[float, str]] = {}  # of an address: when it was silent, and how
_MISSING = "the Hub has nothing of that name, or it is private and you need `hf auth login`"
REASONS = {
    "GatedRepoError": "its owners want you to accept their terms on its page first, and `hf auth login`",
    "RepositoryNotFoundError": _MISSING,
    "DatasetNotFoundError": _MISSING,
    "RevisionNotFoundError": "the Hub has no such revision of it",
}
SILENT = ("ConnectionError", "ConnectError", "TimeoutException", "OfflineModeIsEnabled", "LocalEntryNotFoundError")


@contextmanager
def from_hub(subject: str, advice: str, here: bool = False) -> Iterator[bool]:
    """Let the Hub's clients work within; where the Hub is silent, from their caches alone, at once.

    Yields whether the Hub answers; it is not asked for what lies `here`. Raises `UserError` for any error within, as
    those of network, access and format have no common class: `subject` cannot be had, the reason, `advice`.
    """
    silence = None if here else _silence()
    try:
        with _offline(silence is not None):
            yield silence is None
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{subject} cannot be had ({_reason(error, silence)}); {advice}") from error


def resolve_commit(data_set: str, revision: str | None) -> str:
    """The commit that a revision of a data set names, by the Hub's word, or the last one where it is silent."""
    from huggingface_hub import snapshot_download

    always_there = ["README.md", ".gitattributes"]  # so that the cache has something to keep the commit by
    return Path(snapshot_download(data_set, repo_type="dataset", revision=revision, allow_patterns=always_there)).name


def _silence() -> str | None:
    """The reason why the Hub is not asked, in words; None if it answers."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    at, silence = _last_silence.get(constants.ENDPOINT, (-math.inf, ""))
    if time.monotonic() - at < REMEMBERED:
        return silence
    try:
        status = get_session().head(constants.ENDPOINT, timeout=TIMEOUT).status_code
        silence = f"the Hub answers with {status}" if status >= 500 else ""
    except Exception as error:  # of another library in each of the client's versions
        silence = f"the Hub does not answer: {type(error).__name__}"
    if silence:
        _last_silence[constants.ENDPOINT] = time.monotonic(), silence
    return silence or None


@contextmanager
def _offline(is_offline: bool) -> Iterator[None]:
    """Set the switch by which HF_HUB_OFFLINE keeps all of the Hub's clients to their caches."""
    from huggingface_hub import constants

    switches = [constants, *([sys.modules["datasets.config"]] if "datasets.config" in sys.modules else [])]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch in switches:
            switch.HF_HUB_OFFLINE = switch.HF_HUB_OFFLINE or is_offline  # type: ignore[attr-defined]
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value  # type: ignore[attr-defined]


def _reason(error: BaseException, silence: str | None) -> str:
    cause: BaseException | None = error
    while cause is not None:
        names = [each.__name__ for each in type(cause).__mro__]
        for name in names:
            if name in REASONS:
                return REASONS[name]
        if silence and any(name in SILENT for name in names):
            return f"{silence}, and the cache lacks it"
        cause = cause.__cause__ or cause.__context__
    return f"{silence}; {message_line(error)}" if silence else f"{type(error).__name__}: {message_line(error)}"
