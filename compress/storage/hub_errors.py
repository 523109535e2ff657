"""What can go wrong with the hub, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from compress.errors import first_line

WAYS_OUT = (
    "without a network give local folders (data.path=DIR model.pretrained=DIR), or use data=demo model=demo/tiny, "
    "which need nothing, or fill the hub's cache beforehand (python -m launch prepare …): it is found in HF_HOME"
)


class Stalled(TimeoutError):  # noqa: N818 - nothing here is in error
    """The hub sends nothing."""


class Diagnosis(NamedTuple):
    """What went wrong, what to do about it, and whether it may pass, so that the cache may stand in."""

    why: str
    fix: str
    passing: bool


def client_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises: errors of its own, of its transport, of files and of what it cannot parse."""
    from huggingface_hub import errors

    transport = errors.HfHubHTTPError.__bases__[0]  # the HTTP library is another from version to version
    xet = getattr(errors, "XetDownloadError", OSError)
    return (transport, xet, OSError, ValueError, RuntimeError)


def diagnosis(error: Exception, revision: str, seconds: float) -> Diagnosis:
    """What an error of the hub's client means, where this revision was asked for, and so many seconds were waited."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return diagnosis(error.__cause__, revision, seconds)
    status = getattr(getattr(error, "response", None), "status_code", None)  # as HTTP has it; None without an answer
    said = first_line(error)[:160]
    if isinstance(error, Stalled):
        fix = f"try again later, or with hub_seconds=…; {WAYS_OUT}"
        return Diagnosis(f"the hub sends nothing for {seconds:g} s", fix, True)
    if isinstance(error, errors.GatedRepoError):
        fix = "accept its conditions on its page, and log in (hf auth login, or HF_TOKEN)"
        return Diagnosis("gated on the hub", fix, False)
    if isinstance(error, errors.RevisionNotFoundError):
        fix = "give a branch, a tag or a whole commit hash"
        return Diagnosis(f"the hub has no revision {revision} of it", fix, False)
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        fix = "check the name; for a private one log in (hf auth login, HF_TOKEN)"
        return Diagnosis(f"no such repository on the hub, or none that you may see ({status})", fix, False)
    if status == 429:
        fix = (
            "wait some minutes, log in for more of them (HF_TOKEN), or fill the cache once: python -m launch prepare …"
        )
        return Diagnosis("the hub limits your requests (429)", fix, True)
    if status is not None and status >= 500:
        return Diagnosis(f"the hub is out of order ({status})", f"try again later; {WAYS_OUT}", True)
    if isinstance(error, errors.EntryNotFoundError) or status is not None:
        return Diagnosis(f"the hub does not give it ({said})", WAYS_OUT, False)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        fix = "make room or another place for the hub's cache: HF_HOME=DIR"
        return Diagnosis(f"cannot be stored ({said})", fix, False)
    return Diagnosis(f"the hub cannot be reached ({said})", WAYS_OUT, True)
