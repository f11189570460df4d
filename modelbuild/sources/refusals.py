"""Why a hub did not take what was to be published, in words: what happened, and what to do."""

from __future__ import annotations

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.sources.asking import Address

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN: a token that may write"
_AGAIN = "run the same command again: what is there already is not sent twice"
_SAID = 200


def refused_write(address: Address, error: Exception, status: int | None) -> ModelbuildError:
    """Word what a hub answered to a request that publishes: exit 7.

    Args:
        address: the repository.
        error: of the client.
        status: of the answer; None where there was none.

    """
    from huggingface_hub import constants, errors

    what, hint = f"nothing was published at `{address.repo}`", _AGAIN
    facts = [f"the hub answered {status}"] if status else [f"the connection failed: {type(error.__cause__ or error).__name__}"]
    said = _said(error)
    if isinstance(error, errors.GatedRepoError):
        facts, hint = [f"`{address.repo}` is gated, and you have no access"], f"ask for access on its page, then {_LOG_IN}"
    elif isinstance(error, errors.LocalTokenNotFoundError):
        facts, hint = ["nobody is logged in"], _LOG_IN
    elif isinstance(error, errors.OfflineModeIsEnabled):
        facts, hint = ["the hub may not be asked: HF_HUB_OFFLINE is set"], "take it out of the environment"
    elif status is None and not constants.HF_HUB_DISABLE_XET:
        hint += "; HF_HUB_DISABLE_XET=1 for a hub that has no Xet storage"
    elif status == 401:
        facts, hint = [f"the hub answered 401: it does not know the token, or {address.repo} is somebody else's"], _LOG_IN
    elif status == 403:
        owner = address.repo.partition("/")[0]
        hint = f"use a token that may write to {owner}, or publish where you may write"
    elif status == 404:
        hint = "correct the name; if it is private, use a token of who owns it"
    elif status in (409, 412):
        facts.append("somebody else has changed the branch meanwhile")
    elif status == 413:
        facts.append("what was sent is larger than it takes")
        hint = 'write smaller files: `output = { shard_size = "5GB" }`'
    elif status == 429:
        hint = "wait until the hub takes requests again, then run the same command"
    facts += [f"it says: {said}"] if said and status and status < 500 else []
    return ModelbuildError(Problem(what, facts=tuple(facts), hint=hint), Exit.NETWORK)


def _said(error: Exception) -> str:
    """Return what the hub itself says, in one line."""
    return plain(" ".join(str(getattr(error, "server_message", None) or "").split()), _SAID)


def rooted(address: Address, error: Exception) -> Exception:
    """Return what an error of the client's threads came of, or a refusal where it is none of the hub's.

    The client wraps what goes wrong with one of several uploads, and its store for large files has errors of its own.
    """
    from huggingface_hub import errors

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModelbuildError | errors.HfHubHTTPError | errors.HTTPError | OSError):
            return seen
        seen = seen.__cause__
    facts = (plain(f"{type(error).__name__}: {' '.join(str(error).split())}", _SAID),)
    return ModelbuildError(Problem(f"nothing was published at `{address.repo}`", facts=facts, hint=_AGAIN), Exit.NETWORK)
