"""Why a hub did not take what was to be published, in words: what happened, and what to do."""

from __future__ import annotations

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.sources.asking import Address

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN: a token that may write"
_AGAIN = "run the same command again: what is there already is not sent twice"
_SAID = 200

_MOVED = ("somebody else has changed the branch meanwhile", _AGAIN)
_BY_STATUS = {
    401: ("it does not know the token, or {repo} is somebody else's", _LOG_IN),
    403: ("", "use a token that may write to {owner}, or publish where you may write"),
    404: ("", "correct the name; if it is private, use a token of who owns it"),
    409: _MOVED,
    412: _MOVED,
    413: ("what was sent is larger than it takes", 'write smaller files: `output = {{ shard_size = "5GB" }}`'),
    429: ("", "wait until the hub takes requests again, then run the same command"),
}
"""What an answer means, or "", and what to do."""


def refused_write(address: Address, error: Exception, status: int | None) -> ModelbuildError:
    """Word what a hub answered to a request that publishes: exit 7.

    Args:
        address: the repository.
        error: of the client.
        status: of the answer; None where there was none.

    """
    from huggingface_hub import errors

    words = {"repo": address.repo, "owner": address.repo.partition("/")[0]}
    meaning, hint = (one.format(**words) for one in _BY_STATUS.get(status or 0, ("", _AGAIN)))
    if isinstance(error, errors.GatedRepoError):
        facts, hint = [f"`{address.repo}` is gated, and you have no access"], f"ask for access on its page, then {_LOG_IN}"
    elif status is None:
        facts, hint = _unanswered(error)
    else:
        facts = [f"the hub answered {status}" + (f": {meaning}" if meaning else "")]
        said = _said(error)
        facts += [f"it says: {said}"] if said and status < 500 else []
    return ModelbuildError(Problem(f"nothing was published at `{address.repo}`", facts=tuple(facts), hint=hint), Exit.NETWORK)


def _unanswered(error: Exception) -> tuple[list[str], str]:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalTokenNotFoundError):
        return ["nobody is logged in"], _LOG_IN
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ["the hub may not be asked: HF_HUB_OFFLINE is set"], "take it out of the environment"
    otherwise = "" if constants.HF_HUB_DISABLE_XET else "; HF_HUB_DISABLE_XET=1 for a hub that has no Xet storage"
    return [f"the connection failed: {type(error.__cause__ or error).__name__}"], _AGAIN + otherwise


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
