"""The keys of what comes after a merge: exports, checks, searches.  What spans several: `checks`, `check_keys`."""

from typing import Annotated, Literal

from modelbuild.modelfile.schema import GraphTable
from modelbuild.modelfile.tables import Table, at_least_one, bare
from modelbuild.modelfile.values import Bound, Count, Names, NodeName, Number, PathText, Row, Seed, Share, Text, Value


class ExportTable(Table, frozen=True):
    """A target in another form."""

    of: Text
    format: Literal["gguf", "fp8", "int8", "int4", "command"]
    type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "mxfp4", "tq2_0", "tq1_0"] | None = None
    pre_tokenizer: Text | None = None
    scales: Literal["channel", "tensor"] | None = None
    converter: Annotated[list[Text], at_least_one] | None = None
    path: PathText | None = None


class PromptTable(Table, frozen=True):
    """A prompt, with patterns that its answer alone is held against."""

    text: Text
    require: list[Text] = []
    forbid: list[Text] = []


class CheckTable(Table, frozen=True):
    """What is measured of models, and the bounds; which keys go with which kind is in `check_keys`."""

    kind: Literal["loads", "finite", "generate", "perplexity", "lm_eval", "command"]
    of: Names | None = None
    parents: list[Text] | None = None
    min: Bound | None = None
    max: Bound | None = None
    retention: Bound | None = None
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    metric: Text | None = None
    prompts: Annotated[list[Annotated[PromptTable, bare("text", schema={"type": "string"})]], at_least_one] | None = None
    require: list[Text] = []
    forbid: list[Text] = []
    max_repetition: Share | None = None
    max_new_tokens: Count = 64
    chat: bool = False
    text: Names | None = None
    tensors: list[Text] = []
    window: Count = 1024
    stride: Count | None = None
    tasks: Names | None = None
    limit: Count | None = None
    shots: Row | None = None
    batch_size: Count = 8
    unsafe: bool = False
    run: Names | None = None
    files: list[Text] = []
    timeout: Count = 3600
    better: Literal["higher", "lower"] = "higher"


class RangeTable(Table, frozen=True):
    """What a search may set a key to: one of `values`, or what lies between `low` and `high`."""

    values: Annotated[list[Value], at_least_one] | None = None
    low: Number | None = None
    high: Number | None = None
    step: Number | None = None
    log: bool = False


class SearchTable(Table, frozen=True):
    """A search for the values of a merge's keys that some checks like best."""

    of: Text
    objective: Names
    space: Annotated[dict[Text, Annotated[RangeTable, bare("values", list)]], at_least_one]
    sampler: Literal["grid", "random", "tpe", "nsga2"] = "random"
    trials: Count = 30
    seed: Seed = 0


class ModelfileTable(GraphTable, frozen=True):
    """The whole Modelfile."""

    check: dict[NodeName, CheckTable] = {}
    search: dict[NodeName, SearchTable] = {}
    export: dict[NodeName, ExportTable] = {}
