"""The page's teacher.onnx; its blocks run where ONNX Runtime and PyTorch are."""

import importlib.util

import numpy as np
import pytest


def prepare(folder, monkeypatch):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    kernel = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "kernel"], ["logits"])],
        "teacher",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 8])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, folder / "teacher.onnx")


def _run_with_torch(code, names):
    # Too large a package for the tests alone.
    if importlib.util.find_spec("torch") is not None:
        exec(code, names)
        assert np.isfinite(names["distiller"].history.history["soft_loss"]).all()


RUN = {"import torch": _run_with_torch}
