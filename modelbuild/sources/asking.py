"""A request to the hub: made again where it could not be answered, and its failures in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from modelbuild.errors import Exit, ModelbuildError, Problem

WAITS = (1.0, 2.0, 4.0)
"""Seconds before a request is made again that the hub could not answer."""

_BUSY = (408, 429, 500, 502, 503, 504)
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"

T = TypeVar("T")


class Address(Struct, frozen=True):
    """A repository of models and what to take of it: a branch, a tag or a commit."""

    repo: str
    revision: str


Refusal = Callable[[Exception, int | None], ModelbuildError]
"""Words what the hub answered: the client's error, and the status where there is one."""


def ask(address: Address, what: str, call: Callable[[], T], *, offline: bool, refused: Refusal | None = None) -> T:
    """Ask the hub, again where it could not answer; no error says more of a request than its status.

    Args:
        address: the repository.
        what: is asked for, in words.
        call: asks; it may be called several times.
        offline: the hub may not be asked: what the client has is all there is.
        refused: words a refusal; None for those of reading.

    """
    from huggingface_hub import errors

    waits = iter(WAITS)
    while True:
        try:
            return call()
        except ModelbuildError:
            raise
        except (errors.HfHubHTTPError, errors.HTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
            status = _status(error)
            if isinstance(error, OSError) and error.errno and status is None and not isinstance(error, ConnectionError):
                raise  # of this machine's disk
            final = offline or isinstance(error, errors.OfflineModeIsEnabled) or (status is not None and status not in _BUSY)
            wait = None if final else next(waits, None)
            if wait is None:
                raise (refused(error, status) if refused else _refused(address, what, error, status, offline=offline)) from None
            time.sleep(wait)


def _status(error: BaseException) -> int | None:
    """Return the status that the hub answered with, here or in what this error came of."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if response is not None:
            return int(response.status_code)
        seen = seen.__cause__
    return None


def _refused(address: Address, what: str, error: Exception, status: int | None, *, offline: bool) -> ModelbuildError:
    from huggingface_hub import errors

    if offline:
        return not_here(what)
    causes = (error, error.__cause__)
    for kind, worded, facts, hint, code in (
        (
            errors.GatedRepoError,
            f"`{address.repo}` is gated, and you have no access",
            (),
            f"ask for access on the page of {address.repo}, then {_LOG_IN}",
            Exit.NETWORK,
        ),
        (
            errors.RevisionNotFoundError,
            f"{what} does not exist",
            (f"it has no branch, tag or commit `{address.revision}`",),
            "correct the revision",
            Exit.SOURCE,
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no repository `{address.repo}`, or it is private",
            (),
            f"correct the name; if it is private, {_LOG_IN}",
            Exit.SOURCE,
        ),
        (errors.RemoteEntryNotFoundError, f"{what} does not exist", (), "choose another revision", Exit.SOURCE),
    ):
        if any(isinstance(one, kind) for one in causes):
            return ModelbuildError(Problem(worded, facts=facts, hint=hint), code)
    if status in (401, 403):
        problem = Problem(f"the hub does not let you read {what}", facts=(f"it answered {status}",), hint=_LOG_IN)
    else:
        fact = f"it answered {status}" if status else f"the connection failed: {type(error.__cause__ or error).__name__}"
        hint = "try again later: what is complete stays"
        problem = Problem(f"the hub did not give {what}", facts=(fact,), hint=hint)
    return ModelbuildError(problem, Exit.NETWORK)


def not_here(what: str) -> ModelbuildError:
    """Word that something would have to be asked for, and may not be."""
    hint = "run `modelbuild fetch` where the hub can be reached"
    return ModelbuildError(Problem(f"{what} is not on this machine, and the hub may not be asked", hint=hint), Exit.NETWORK)
