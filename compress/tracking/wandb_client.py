"""The package wandb: quiet, started with this user's settings alone, and ended for sure."""

from __future__ import annotations

import contextlib
import logging
import netrc
import os
import threading
from collections.abc import Callable
from types import ModuleType
from urllib.parse import urlsplit

from compress.tracking import wandb_settings

PROBE_SECONDS = 5.0  # for the server's first answer
NO_FIELDS = ("anonymous", "ignore_globs", "root_dir", "settings_system")  # the client takes these out of a file
AGENTS_RUN = "agents_run"  # in a run's config: its id in W&B, where that is not the experiment's
TEAR_DOWN_SECONDS = 2.0  # for the client to end by itself


def client() -> ModuleType:
    """The package wandb, told to be quiet, and not to report its own errors: without a network it waits for that."""
    if not os.environ.get("WANDB_SILENT"):  # an empty one makes the client crash
        os.environ["WANDB_SILENT"] = "true"
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    logging.raiseExceptions = False  # nor to print a traceback for each line that its log has no room for
    import wandb

    return wandb


def session() -> ModuleType:
    """The client with its settings read, but for those that would make a run another one than it is."""
    wandb = client()
    with wandb_settings.without_foreign():
        settings = wandb.setup().settings
    usual = wandb.Settings()
    for key in (*wandb_settings.FOREIGN, "mode"):
        setattr(settings, key, getattr(usual, key))
    settings.sagemaker_disable = True  # which gives runs ids and settings of its own
    return wandb


def warm_up() -> None:
    """Import what the client imports at its first run, for a process that forks: that takes longer than the run."""
    client()
    import psutil  # noqa: F401
    import requests  # noqa: F401
    import wandb.apis.public
    import wandb.sdk.launch  # noqa: F401


def why_offline(seconds: float) -> str | None:
    """Why a run cannot be online, as far as a first look tells; None if it seems to be possible."""
    import requests

    try:
        settings = session().setup().settings
    except Exception as error:  # something in the environment or in a settings file that the client refuses
        return kind_and_cause(error)
    url = str(settings.base_url)
    if not (settings.api_key or _has_key(url)):
        return f"no key for {url} (wandb login, or WANDB_API_KEY)"
    try:
        answer = requests.get(url, timeout=min(seconds, PROBE_SECONDS), stream=True)
    except requests.RequestException as error:
        return f"{url} cannot be reached ({type(error).__name__})"
    return f"{url} answers {answer.status_code}" if answer.status_code == 429 or answer.status_code >= 500 else None


def _has_key(url: str) -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(url).netloc) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def refused_settings() -> str | None:
    """A sentence if the client refuses what W&B's settings files say, and so heeds nothing of them."""
    read = {file: values for file in wandb_settings.files() if (values := wandb_settings.values_in(file))}
    said = {key: value for values in read.values() for key, value in values.items() if key not in NO_FIELDS}
    try:
        client().Settings(**said)
    except Exception as error:  # pydantic's, or the client's own
        return f"{' and '.join(map(str, read))}: the client heeds nothing of it ({kind_and_cause(error)}); correct it"
    return None


def tear_down() -> None:
    """End the client's own processes: `os._exit` would leave them behind, and they try for hours to reach a server."""
    import psutil

    ours = [child for child in psutil.Process().children() if child.name() == "wandb-core"]
    with contextlib.suppress(Exception):
        within(TEAR_DOWN_SECONDS, client().teardown)
    for child in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def kind_and_cause(error: Exception) -> str:
    """An error's kind and the beginning of what it says; of what pydantic refuses, which value and why."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}={first['input']}: {first['msg']}"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}".strip(": ")


def within(seconds: float, call: Callable[[], object]) -> None:
    """Call a function of the client that has no time limit of its own; raises what it raises, or TimeoutError."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    if failed:
        raise failed[0]
