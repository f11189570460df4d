"""Models loaded by transformers, from their directory alone: nothing is fetched, and no code of theirs is run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from modelbuild.checkpoint.dtypes import TORCH_NAMES
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.quiet import quiet

if TYPE_CHECKING:
    from torch import device

FAILURES = (ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What transformers and those who build on it raise for a model, a tokenizer or a task that they cannot take."""

_OWN = {"local_files_only": True, "trust_remote_code": False}


class Subject(Struct, frozen=True):
    """A model to be measured.

    Args:
        name: in the Modelfile.
        path: its directory.
        digest: of its tensors and of the files that go along.
        is_adapter: whether it is a LoRA adapter, no model.
        made: loads it where its weights stand in no directory; `path` holds what goes along then.

    """

    name: str
    path: Path
    digest: str
    is_adapter: bool = False
    made: Callable[[Any], Any] | None = field(default=None)


class Loaded:
    """A model and its tokenizer, each loaded when it is first asked for."""

    def __init__(self, subject: Subject, device_name: str, threads: int = 0) -> None:
        """Load nothing yet; `device_name` is cpu or cuda:N, and with 0 `threads` torch takes as many as it likes."""
        self.subject, self.device_name, self.threads = subject, device_name, threads
        self._models: dict[str, Any] = {}
        self._tokenizer: Any = None

    @property
    def device(self) -> device:
        """Where it computes."""
        import torch

        return torch.device(self.device_name)

    def model(self, dtype: str) -> Any:
        """Return the model with weights of that type; auto is float32 on a CPU, and elsewhere the type they are stored in."""
        if dtype not in self._models:
            import torch
            import transformers

            if self.threads:
                torch.set_num_threads(self.threads)
            self._models.clear()
            wanted = "float32" if dtype == "auto" and self.device_name == "cpu" else dtype
            kind: Any = wanted if wanted == "auto" else getattr(torch, wanted)
            with quiet(), told_of(self.subject.name):
                model: Any = (
                    self.subject.made(kind)
                    if self.subject.made
                    else transformers.AutoModelForCausalLM.from_pretrained(self.subject.path, dtype=kind, use_safetensors=True, **_OWN)
                )
                self._models[dtype] = model.to(self.device).eval()
        return self._models[dtype]

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        if self._tokenizer is None:
            import transformers

            with quiet(), told_of(self.subject.name):
                self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.subject.path, **_OWN)
        return self._tokenizer

    def close(self) -> None:
        """Let go of it."""
        self._models.clear()
        self._tokenizer = None
        gc.collect()
        if self.device_name != "cpu":
            import torch

            torch.cuda.empty_cache()


def from_tensors(directory: Path, tensors: Mapping[str, tuple[str, Sequence[int], bytearray]], dtype: Any) -> Any:
    """Make a model of tensors that are in memory; it is laid out on the meta device, and given the tensors.

    Args:
        directory: holds config.json.
        tensors: safetensors' code, shape and bytes of each, by name.
        dtype: what they are brought to, as transformers takes it.

    """
    import torch
    import transformers

    state = {
        name: torch.frombuffer(data, dtype=getattr(torch, TORCH_NAMES[code])).reshape(tuple(shape))
        for name, (code, shape, data) in tensors.items()
    }
    config = transformers.AutoConfig.from_pretrained(directory, **_OWN)
    kind: Any = transformers.AutoModelForCausalLM._model_mapping[type(config)]  # noqa: SLF001 - the auto class itself takes no tensors
    return kind.from_pretrained(None, config=config, state_dict=state, dtype=dtype)


def on_meta(subject: Subject) -> tuple[str, dict[str, Any]]:
    """Load a model without its numbers; return the name of its class, and transformers' lists of keys that do not fit."""
    import transformers

    with quiet(), told_of(subject.name):
        config = transformers.AutoConfig.from_pretrained(subject.path, **_OWN)
        named = [getattr(transformers, name, None) for name in getattr(config, "architectures", None) or ()]
        kind: Any = next((one for one in named if one is not None), transformers.AutoModel)
        _, told = kind.from_pretrained(
            subject.path, device_map="meta", output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True, **_OWN
        )
    return next((one.__name__ for one in named if one is not None), "AutoModel"), told


def position_limit(model: Any) -> int:
    """Return how many tokens a model reads at once, as its configuration says; 0 where it does not."""
    text = model.config.get_text_config()
    limit = getattr(text, "max_position_embeddings", 0)
    return limit if isinstance(limit, int) and limit > 0 else 0


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Turn what transformers raises into a problem that names the model; memory that ran out is no fault of the model.

    Raises:
        ModelbuildError: exit 1.

    """
    try:
        yield
    except MemoryError:
        facts = ("there was too little memory",)
        raise ModelbuildError(Problem(f"`{name}` cannot be measured", facts=facts, hint="see `dtype`"), Exit.LOCAL_IO) from None
    except FAILURES as error:
        fact = plain(" ".join(f"{type(error).__name__}: {error}".split()), 400)
        hint = "`modelbuild test --check loads` says whether transformers takes it at all"
        raise ModelbuildError(Problem(f"`{name}` cannot be measured", facts=(fact,), hint=hint), Exit.ACTION_FAILED) from error
