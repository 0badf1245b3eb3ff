"""Embeddings as TFLite's EMBEDDING_LOOKUP, whose table may have a step size for each row."""

import numpy as np

from keras_distill._keras.tflite_files import read
from keras_distill._keras.tflite_files import schema
from keras_distill._keras.tflite_files import write


def look_up_embeddings(content):
    """Replaces GATHER of table rows by EMBEDDING_LOOKUP in a float TFLite file.

    TensorFlow's converter writes GATHER for an embedding. Its table has one step size, or stays
    float32 where litert-quantizer quantizes the file.

    Args:
        content: The file's bytes.

    Returns:
        The bytes of the new file.
    """
    model = read(content)
    for graph in model.subgraphs:
        lookups = _Lookups(model, graph)
        graph.operators = [new for old in graph.operators for new in lookups.in_place_of(old)]
    return write(model)


class _Lookups:
    """Makes the operations of one subgraph of a model."""

    def __init__(self, model, graph):
        self._model, self._graph = model, graph
        self._schema = schema()
        self._kinds = self._schema.BuiltinOperator

    def in_place_of(self, operator):
        """Three operations, if this one gathers rows of a table; else this operation."""
        if not self._gathers_rows(operator):
            return [operator]
        table, ids = operator.inputs[:2]
        (rows,) = operator.outputs
        flat_ids = self._tensor([-1], "ids", self._schema.TensorType.INT32)
        width = self._shape(table)[-1]
        flat_rows = self._tensor([-1, width], "rows", self._schema.TensorType.FLOAT32)
        return [
            self._reshape(ids, flat_ids, [-1]),
            self._operator(self._kinds.EMBEDDING_LOOKUP, [flat_ids, table], flat_rows),
            self._reshape(flat_rows, rows, self._shape(rows)),
        ]

    def _gathers_rows(self, operator):
        if self._model.operatorCodes[operator.opcodeIndex].builtinCode != self._kinds.GATHER:
            return False
        table, ids = (self._graph.tensors[index] for index in operator.inputs[:2])
        return (
            operator.builtinOptions.axis == operator.builtinOptions.batchDims == 0
            and self._model.buffers[table.buffer].data is not None
            and table.type == self._schema.TensorType.FLOAT32
            and ids.type == self._schema.TensorType.INT32
            and len(table.shape) == 2
            # A reshape can infer one open size.
            and self._shape(operator.outputs[0]).count(-1) <= 1
        )

    def _shape(self, index):
        tensor = self._graph.tensors[index]
        signature = tensor.shapeSignature
        return list(tensor.shape if signature is None else signature)

    def _tensor(self, shape, name, dtype, values=None):
        tensor = self._schema.TensorT()
        tensor.name, tensor.type = f"{name}_{len(self._graph.tensors)}", dtype
        tensor.shape = [abs(size) for size in shape]
        if -1 in shape:
            tensor.shapeSignature = shape
        buffer = self._schema.BufferT()
        if values is not None:
            buffer.data = np.frombuffer(values.tobytes(), "uint8")
        tensor.buffer = len(self._model.buffers)
        self._model.buffers.append(buffer)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _reshape(self, index, output, shape):
        values = np.array(shape, "int32")
        shape = self._tensor([len(shape)], "shape", self._schema.TensorType.INT32, values)
        return self._operator(self._kinds.RESHAPE, [index, shape], output)

    def _operator(self, code, inputs, output):
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._opcode(code)
        operator.inputs, operator.outputs = np.array(inputs, "int32"), np.array([output], "int32")
        return operator

    def _opcode(self, code):
        codes = self._model.operatorCodes
        for index, known in enumerate(codes):
            if known.builtinCode == code:
                return index
        known = self._schema.OperatorCodeT()
        known.builtinCode = known.deprecatedBuiltinCode = code
        known.version = 1
        codes.append(known)
        return len(codes) - 1
