"""Tokenizers, where the rows of tokens come from, and chat templates."""

from __future__ import annotations

from typing import Any

from modelbuild.checkpoint.templates import BY_NAME, is_template
from modelbuild.errors import did_you_mean
from modelbuild.mergekit.ledger import At, Ledger, Placed
from modelbuild.mergekit.models import Models


def tokenizer(ledger: Ledger, models: Models, document: At, base: At) -> dict[str, Any]:
    """Return the `tokenizer` of a merge.

    Args:
        ledger: what is said.
        models: names of models.
        document: all of it.
        base: the model that `base` stands for where the merge itself has none, or nothing.

    """
    found: dict[str, Any] = {}
    told = document["tokenizer"]
    if document["tokenizer_source"]:
        if told.value is not None:
            ledger.say(told, "`tokenizer` and `tokenizer_source` both name a tokenizer", hint="keep `tokenizer`")
        found["source"] = _source(models, document["tokenizer_source"], base)
    elif told.value is not None:
        table = ledger.table(told, ("source", "tokens", "pad_to_multiple_of"))
        found["source"] = _source(models, table["source"], base) if table["source"] else Placed("union", told)
        tokens = ledger.table(table["tokens"])
        rows = {token: _token(ledger, models, tokens[token]) for token in tokens.value}
        if any(rows.values()):
            found["tokens"] = {token: Placed(row, tokens[token]) for token, row in rows.items() if row}
        if table["pad_to_multiple_of"]:
            found["pad_to_multiple_of"] = Placed(table["pad_to_multiple_of"].value, table["pad_to_multiple_of"])
    if template := document["chat_template"]:
        found |= _template(ledger, template)
    return found


def _source(models: Models, at: At, base: At) -> Placed:
    if at.value == "base" and base:
        return Placed(models.name(base), at)
    return Placed(at.value, at) if at.value in ("base", "union") else models.name(at)


def _token(ledger: Ledger, models: Models, at: At) -> dict[str, Any]:
    told = ledger.table(at, ("source", "force"))
    source = told["source"]
    force = {"force": True} if told["force"].value is True else {}
    if not source:
        if force:
            ledger.say(at, "`force` needs a `source`", hint="name the model whose row it is")
        else:
            ledger.note(at, f"nothing is said of `{at.path[-1]}`: its row is found as that of any token")
        return {}
    if not isinstance(source.value, dict) or "kind" not in source.value:
        return {"source": models.name(source), **force}
    inner = ledger.table(source, ("kind", "model", "token", "token_id"))
    if inner["kind"].value == "zero":
        return {"source": "zero", **force}
    if inner["kind"].value != "model_token":
        hint = did_you_mean(str(inner["kind"].value), ("zero", "model_token"))
        ledger.say(inner["kind"], "this is no kind of row", ("known here: zero, model_token",), hint)
        return {}
    named = [(own, inner[key]) for key, own in (("token", "token"), ("token_id", "id")) if inner[key].value is not None]
    if len(named) != 1:
        ledger.say(source, "a row is named by `token` or by `token_id`", hint="write one of them")
    return {"source": models.name(inner["model"]), **{own: Placed(one.value, one) for own, one in named}, **force}


def _template(ledger: Ledger, at: At) -> dict[str, Any]:
    text = str(at.value)
    if text == "auto":
        ledger.note(at, "`chat_template: auto` is left out: the template of the base goes along, whatever most models have")
    elif text in BY_NAME or is_template(text):
        return {"chat_template": Placed(text, at)}
    else:
        hint = did_you_mean(text, BY_NAME) or "write the template itself"
        ledger.say(at, f"no chat template is called `{text}`", (f"known here: {', '.join(BY_NAME)}",), hint)
    return {}
