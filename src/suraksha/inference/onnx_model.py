"""Check an ONNX file before an engine loads it, without the package ``onnx``.

A bundle's network must be a plain feed-forward graph: control flow can make a run never end, and
external data makes the engine read other files. The check reads the protobuf messages of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 down to the tensors, but not their values.
"""

from __future__ import annotations

from collections.abc import Iterator

from suraksha.errors import BundleError

# operators that run a graph of their own, or read other files
REFUSED_OPERATORS = frozenset({"EPContext", "If", "Loop", "Scan", "SequenceMap"})
# fields that are read at most; a network of 10,000 operators has about this many
MAX_FIELDS = 300_000

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# numbers of the fields, by message
MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 20, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE_INITIALIZER = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE = 4, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS = 5, 10
ATTRIBUTE_GRAPHS = frozenset({6, 11})
ATTRIBUTE_SPARSE = frozenset({22, 23})
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 13, 14


def check_model(model: bytes) -> None:
    """Check that a network is a plain graph with all its weights in the file.

    Args:
        model: The bytes of ``model.onnx``.

    Raises:
        BundleError: No ONNX file, control flow, local functions, external data or too many parts.
    """
    try:
        reason = _Walk().model(memoryview(model))
    except (ValueError, IndexError) as error:
        reason = f"it is not a valid ONNX file: {error}"
    if reason:
        raise BundleError(
            "the bundle's network was refused",
            reason,
            "Get the bundle from a source that you trust, or export it again",
        )


class _Walk:
    """One walk through a file; each method gives the reason to refuse it, or an empty text."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def model(self, content: memoryview) -> str:
        graphs = 0
        for number, value in self._fields(content):
            if number == MODEL_FUNCTIONS:
                return "it has local functions"
            if number == MODEL_TRAINING:
                return "it has training information"
            if number == MODEL_GRAPH:
                graphs += 1
                if reason := self._graph(_message(value)):
                    return reason
        return "" if graphs == 1 else f"it has {graphs} graphs in place of one"

    def _graph(self, content: memoryview) -> str:
        for number, value in self._fields(content):
            reason = ""
            if number == GRAPH_NODE:
                reason = self._node(_message(value))
            elif number == GRAPH_INITIALIZER:
                reason = self._tensor(_message(value))
            elif number == GRAPH_SPARSE_INITIALIZER:
                reason = "it has sparse weights"
            if reason:
                return reason
        return ""

    def _node(self, content: memoryview) -> str:
        for number, value in self._fields(content):
            if number == NODE_OPERATOR:
                operator = bytes(_message(value)[:64]).decode(errors="replace")
                if operator in REFUSED_OPERATORS:
                    return f"it has the operator {operator}"
            elif number == NODE_ATTRIBUTE and (reason := self._attribute(_message(value))):
                return reason
        return ""

    def _attribute(self, content: memoryview) -> str:
        for number, value in self._fields(content):
            if number in ATTRIBUTE_GRAPHS:
                return "one of its operators contains a subgraph"
            if number in ATTRIBUTE_SPARSE:
                return "it has sparse weights"
            if number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS) and (
                reason := self._tensor(_message(value))
            ):
                return reason
        return ""

    def _tensor(self, content: memoryview) -> str:
        for number, value in self._fields(content):
            located = number == TENSOR_DATA_LOCATION and value != 0
            if located or number == TENSOR_EXTERNAL_DATA:
                return "it keeps weights in other files (external data)"
        return ""

    def _fields(self, content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """The fields of a message: (number, integer or bytes)."""
        place, end = 0, len(content)
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"more than {MAX_FIELDS} fields")
            key, place = _varint(content, place)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                integer, place = _varint(content, place)
                yield number, integer
                continue
            if kind == BYTES:
                size, place = _varint(content, place)
            elif kind in (FIXED32, FIXED64):
                size = 4 if kind == FIXED32 else 8
            else:
                raise ValueError(f"a field of type {kind}")
            if size > end - place:
                raise ValueError("a field is cut short")
            yield number, content[place : place + size]
            place += size


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("an integer in place of a message")
    return value


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """The integer at a place and the place after it."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")
