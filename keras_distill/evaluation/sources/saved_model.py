"""A SavedModel's folder as a source of outputs, as a server runs it."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill._keras.model_files import errors_that_name
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.signatures import run_signature
from keras_distill.evaluation.sources.first_divisions import first_divisors
from keras_distill.evaluation.sources.source import Source
from keras_distill.evaluation.sources.source import named_inputs
from keras_distill.export.pixels import divide_pixels
from keras_distill.export.saved_model.export import DEFAULT
from keras_distill.export.signature import cast_exactly
from keras_distill.export.timing.benchmark import benchmark
from keras_distill.teachers.hub_files import load_module

# Domains by the output names that export_saved_model gives a classifier.
_DOMAINS = {"logits": LOGITS, "probabilities": SOFTMAX}
_DOMAINS_OF_OPERATIONS = {
    "LogSoftmax": LOGITS,
    "MatMul": LOGITS,
    "Sigmoid": SIGMOID,
    "Softmax": SOFTMAX,
}


class Signature(Source):
    """A signature of a SavedModel, which takes its inputs by name.

    Args:
        owner: Name of the model in errors.
        signature: The signature, as `tf.saved_model.load` returns it.
    """

    kind = "signature"

    def __init__(self, owner, signature):
        self._owner = owner
        self._signature = signature
        self._inputs = signature.structured_input_signature[1]
        self._output = self._choose_output()
        self.domain = _DOMAINS.get(self._output) or _domain_by_graph(signature, self._output)
        self.class_names = _class_names(signature)
        self.reads_text = any(spec.dtype == tf.string for spec in self._inputs.values())
        self._pictures = [
            name
            for name, spec in self._inputs.items()
            if (spec.shape.rank or 0) > 2
            and any(map(divide_pixels, first_divisors(signature, name)))
        ]
        self.inputs = {
            name: (None if spec.shape.rank is None else tuple(spec.shape[1:]), spec.dtype.name)
            for name, spec in self._inputs.items()
        }

    def __call__(self, x):
        named = self._named(x)
        with errors_that_name(self._owner, "It does not run with these inputs."):
            outputs = run_signature(self._signature, named)
        return keras.ops.convert_to_numpy(outputs[self._output])

    def pixels(self, x):
        named = named_inputs(self._owner, self._inputs, x) if self._pictures else {}
        return {name: np.asarray(named[name]) for name in self._pictures}

    def _named(self, x):
        named = named_inputs(self._owner, self._inputs, x)
        return {
            name: self._cast(name, values)
            if self._inputs[name].dtype != tf.string
            else tf.convert_to_tensor(values)
            for name, values in named.items()
        }

    def _cast(self, name, values):
        owner = f"{self._owner}: the input {name!r}"
        return cast_exactly(owner, values, self._inputs[name].dtype.as_numpy_dtype)

    def _choose_output(self):
        outputs = self._signature.structured_outputs
        floats = [name for name, spec in outputs.items() if spec.dtype.is_floating]
        for name in _DOMAINS:
            if name in floats:
                return name
        if len(floats) != 1:
            raise ValueError(
                "A SavedModel that is compared must have one output of floats, or one called "
                f"'logits' or 'probabilities'. Received: {self._owner} with {sorted(outputs)}"
            )
        return floats[0]


class SavedModel(Signature):
    """The `serving_default` of a SavedModel."""

    kind = "SavedModel"

    def __init__(self, folder):
        self._folder = folder
        # The module owns the variables: it must outlive its signature.
        self._module = load_module(str(folder))
        if DEFAULT not in self._module.signatures:
            raise ValueError(
                f"A SavedModel must have the signature {DEFAULT!r}. Received: {folder}, which has "
                f"{sorted(self._module.signatures)}"
            )
        super().__init__(f"The SavedModel in {folder}", self._module.signatures[DEFAULT])
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.num_bytes = sum(path.stat().st_size for path in files)

    def latencies(self, x, num_threads):
        inputs = {name: np.asarray(values) for name, values in self._named(x).items()}
        return {
            count: benchmark(self._folder, num_threads=count, inputs=inputs)
            for count in num_threads
        }


def _domain_by_graph(signature, output):
    """The domain of an output according to the operation that computes it; None if unknown."""
    graph = signature.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    nodes = {node.name: node for node in graph.node}
    name = signature.outputs[sorted(signature.structured_outputs).index(output)].name
    while (node := nodes.get(name.split(":")[0])) is not None:
        if node.op in ("PartitionedCall", "StatefulPartitionedCall"):
            function = functions[node.attr["f"].func.name]
            place = int(name.split(":")[-1]) if ":" in name else 0
            name = function.ret[function.signature.output_arg[place].name]
            nodes = {inner.name: inner for inner in function.node_def}
        elif node.op in ("Cast", "Identity", "Reshape") or _adds_bias(node, nodes):
            name = node.input[0]
        else:
            return _DOMAINS_OF_OPERATIONS.get(node.op)
    return None


def _adds_bias(node, nodes):
    before = nodes.get(node.input[0].split(":")[0]) if node.input else None
    return node.op in ("AddV2", "BiasAdd") and before is not None and before.op == "MatMul"


def _class_names(signature):
    """The labels that `export_saved_model` wrote into the graph, or None.

    The graph looks up the names of the best classes in a constant, so that no separate file can
    contradict the server's answers.
    """
    for function in signature.graph.as_graph_def().library.function:
        nodes = {node.name: node for node in function.node_def}
        for node in nodes.values():
            if node.op == "GatherV2":
                names, places = (nodes.get(name.split(":")[0]) for name in node.input[:2])
                is_lookup = names is not None and names.op == "Const"
                if is_lookup and places is not None and places.op == "TopKV2":
                    return tuple(n.decode() for n in tf.make_ndarray(names.attr["value"].tensor))
    return None
