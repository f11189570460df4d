"""A GGUF file before it is written: which tensors it has, of which type, and which rows of the model they are made of."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from math import prod

import numpy as np
from gguf import (
    GGML_QUANT_SIZES,
    GGML_QUANT_VERSION,
    MODEL_ARCH,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
)
from gguf.gguf_writer import WriterState
from msgspec import Struct

from modelbuild.checkpoint.dtypes import ARITHMETIC
from modelbuild.exports.gguf.metadata import describe, family_of, frequency_factors, head_width, number
from modelbuild.exports.gguf.tokens import describe_tokens, read_tokens
from modelbuild.exports.subject import Subject, Unexportable
from modelbuild.modelfile.model import Export
from modelbuild.names import natural, plain

Q = GGMLQuantizationType

_FILE_TYPES = {
    Q.F32: LlamaFileType.ALL_F32, Q.F16: LlamaFileType.MOSTLY_F16, Q.BF16: LlamaFileType.MOSTLY_BF16, Q.Q8_0: LlamaFileType.MOSTLY_Q8_0,
    Q.Q4_0: LlamaFileType.MOSTLY_Q4_0, Q.Q4_1: LlamaFileType.MOSTLY_Q4_1, Q.Q5_0: LlamaFileType.MOSTLY_Q5_0,
    Q.Q5_1: LlamaFileType.MOSTLY_Q5_1, Q.MXFP4: LlamaFileType.MOSTLY_MXFP4_MOE, Q.TQ1_0: LlamaFileType.MOSTLY_TQ1_0,
    Q.TQ2_0: LlamaFileType.MOSTLY_TQ2_0,
}  # fmt: skip
"""The types that matrices can be stored as, and what a file of such matrices is called."""

_STORED = {"F64": Q.F32, "F32": Q.F32, "F16": Q.F16, "BF16": Q.BF16}
"""The type nearest to how a matrix is stored already."""

_WHOLE = (Q.F32, Q.F16, Q.BF16)
_ENDS = ("token_embd.weight", "output.weight")
_EXPERT = re.compile(r"\.experts\.(\d+)\.")
_ROTATED = re.compile(r"blk\.\d+\.attn_[qk]\.(weight|bias)")
_DROPPED = re.compile(r".*\.rotary_emb\.inv_freq")
FACTORS = "rope_freqs.weight"


class Entry(Struct, frozen=True):
    """A tensor of the file.

    Args:
        name: there.
        shape: rows and columns, outermost first.
        type: of its numbers.
        parts: the tensors of the model that follow each other in it; none where its values are computed from config.json.
        head: how many rows belong to a head in which halves are to become neighbours; 0 where rows stay where they are.

    """

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    parts: tuple[str, ...] = ()
    head: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        block, size = GGML_QUANT_SIZES[self.type]
        return self.shape[-1] // block * size

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return prod(self.shape[:-1]) * self.row_bytes


class Layout(Struct, frozen=True, dict=True):
    """A file.

    Args:
        header: all that stands before the tensors.
        entries: the tensors, in order.
        offsets: where each starts.
        size: of the whole file.
        warnings: what a reader of the file will not know.

    """

    header: bytes
    entries: tuple[Entry, ...]
    offsets: tuple[int, ...]
    size: int
    warnings: tuple[str, ...]


def lay_out(subject: Subject, export: Export, root: str) -> Layout:
    """Lay a model out as a GGUF file.

    Args:
        subject: the model.
        export: how it is to be written.
        root: the Merkle root of its tensors, which is noted in the file.

    Raises:
        Unexportable: if GGUF has no words for it, or what others wrote of it cannot be read.

    """
    try:
        return _laid_out(subject, export, root)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, ArithmeticError) as error:
        what, fact = "what lies beside its weights is not as transformers writes it", plain(f"{type(error).__name__}: {error}", 200)
        raise Unexportable(what, fact, hint="copy or download the model again", key="of") from None


def _laid_out(subject: Subject, export: Export, root: str) -> Layout:
    family = family_of(subject.config)
    matrices = _main_type(subject, export)
    entries = _entries(subject, family.arch, matrices, head_width(subject.config) if family.rotates_pairs else 0)
    writer = GGUFWriter(None, MODEL_ARCH_NAMES[family.arch])
    writer.add_string("modelbuild.root", root)  # first, so that whose file it is can be told from how it begins
    rows = _embedding(entries).shape[0]
    warnings = describe(writer, subject.config, rows)
    writer.add_file_type(_FILE_TYPES[matrices])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    describe_tokens(writer, subject, read_tokens(subject, export.pre_tokenizer), rows)
    for entry in entries:
        writer.add_tensor_info(entry.name, entry.shape, np.dtype(np.float32), entry.nbytes, entry.type)
    header = _packed(writer)
    offsets, at = [], len(header)
    for entry in entries:
        offsets.append(at)
        at += GGUFWriter.ggml_pad(entry.nbytes, writer.data_alignment)
    return Layout(header, entries, tuple(offsets), at, (*warnings, *_rounded_up(entries, matrices)))


def _packed(writer: GGUFWriter) -> bytes:
    """Have a writer write everything before the tensors, into memory."""
    held = io.BytesIO()
    file = io.BufferedWriter(held)
    writer.fout, writer.state = [file], WriterState.EMPTY  # type: ignore[list-item]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    file.flush()
    header = held.getvalue()
    return header.ljust(GGUFWriter.ggml_pad(len(header), writer.data_alignment), b"\0")


def _main_type(subject: Subject, export: Export) -> GGMLQuantizationType:
    """Return the type that matrices are to have: what is asked for, else the one that most of them are stored in."""
    if export.type:
        return GGMLQuantizationType[export.type.upper()]
    held: dict[str, int] = {}
    for dtype, shape in subject.tensors.values():
        held[dtype] = held.get(dtype, 0) + (prod(shape) if len(shape) > 1 else 0)
    return _STORED.get(max(held, key=lambda dtype: held[dtype], default=""), Q.F32)


def _entries(subject: Subject, arch: MODEL_ARCH, matrices: GGMLQuantizationType, head: int) -> tuple[Entry, ...]:
    names = get_tensor_name_map(arch, number(subject.config, "num_hidden_layers"))
    parts: dict[str, list[str]] = {}
    stacked: set[str] = set()
    for tensor, (dtype, _) in subject.tensors.items():
        if _DROPPED.fullmatch(tensor):
            continue
        name = names.get_name(_EXPERT.sub(".experts.", tensor), try_suffixes=(".weight", ".bias"))
        if name is None or dtype not in ARITHMETIC:
            facts = (f"{subject.config['model_type']} has no such tensor there" if name is None else f"its type is {dtype}",)
            hint = 'name a converter that knows it: `converter = ["python", "convert.py", "{model}", "{out}"]`'
            raise Unexportable(f"`{tensor}` has no place in GGUF", *facts, hint=hint)
        parts.setdefault(name, []).append(tensor)
        if _EXPERT.search(tensor):
            stacked.add(name)
    entries = [_entry(subject, name, sorted(held, key=natural), matrices, head, stacked=name in stacked) for name, held in parts.items()]
    factors = frequency_factors(subject.config)
    if factors is not None:
        entries.append(Entry(FACTORS, factors.shape, Q.F32))
    return tuple(sorted(entries, key=_position))


def _entry(subject: Subject, name: str, parts: list[str], matrices: GGMLQuantizationType, head: int, *, stacked: bool) -> Entry:
    shapes = {subject.tensors[part][1] for part in parts}
    experts = number(subject.config, "num_local_experts", subject.config.get("num_experts")) if stacked else 1
    if len(shapes) > 1 or len(parts) != experts:
        what, facts = f"`{parts[0]}` and its like do not make one tensor", (f"{len(parts)} of {experts} are there",)
        raise Unexportable(what, *facts, hint="correct config.json, or copy the model again", key="of")
    shape = (experts, *shapes.pop()) if stacked else shapes.pop()
    return Entry(name, shape, _type_of(name, shape, matrices), tuple(parts), head if _ROTATED.fullmatch(name) else 0)


def _type_of(name: str, shape: tuple[int, ...], matrices: GGMLQuantizationType) -> GGMLQuantizationType:
    """Return the type of a tensor: vectors and gates are float32; of few bits, embedding and head have 8 all the same."""
    if len(shape) == 1 or name.endswith(("ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight")):
        return Q.F32
    kind = Q.Q8_0 if name in _ENDS and matrices not in _WHOLE else matrices
    return kind if shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else Q.F16


def _rounded_up(entries: tuple[Entry, ...], matrices: GGMLQuantizationType) -> tuple[str, ...]:
    """Say which matrices could not have the type that was asked for."""
    others = [entry for entry in entries if entry.type is Q.F16 and matrices not in _WHOLE]
    if not others:
        return ()
    first, block = others[0], GGML_QUANT_SIZES[matrices][0]
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    kind = matrices.name.lower()
    return (f"`{first.name}`{more} stored as f16: {kind} takes rows of a multiple of {block} numbers, and they have {first.shape[-1]}",)


def _embedding(entries: tuple[Entry, ...]) -> Entry:
    found: Mapping[str, Entry] = {entry.name: entry for entry in entries}
    if "token_embd.weight" not in found:
        raise Unexportable("the model has no embedding", hint="export a whole model", key="of")
    return found["token_embd.weight"]


def _position(entry: Entry) -> tuple[int, tuple[int | str, ...]]:
    """Order tensors as they are used: embedding, layers, head."""
    order = {"token_embd.weight": 0, FACTORS: 1, "output_norm.weight": 3, "output.weight": 4}
    return order.get(entry.name, 2), natural(entry.name)
