"""Runs a SavedModel by TensorFlow's C++ loader, through its C interface. Imports no TensorFlow.

    python c_loader.py FOLDER_OF_TENSORFLOW SAVED_MODEL INPUTS.npz NAMES.json OUTPUTS.npz

NAMES.json: {"inputs": {name: tensor in the graph}, "outputs": {...}}, of one signature; all
arrays are float32 or int32.
"""

import ctypes
import json
import pathlib
import sys

import numpy as np

TYPES = {np.dtype("float32"): 1, np.dtype("int32"): 3}


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def load_library(folder):
    ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
    for name in (
        "TF_NewStatus",
        "TF_NewGraph",
        "TF_NewSessionOptions",
        "TF_LoadSessionFromSavedModel",
        "TF_GraphOperationByName",
        "TF_AllocateTensor",
        "TF_TensorData",
    ):
        getattr(library, name).restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    library.TF_TensorByteSize.restype = ctypes.c_size_t
    library.TF_Dim.restype = ctypes.c_int64
    return library


class Session:
    def __init__(self, folder, saved_model):
        self.library = load_library(folder)
        self.status = ctypes.c_void_p(self.library.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.library.TF_NewGraph())
        options = ctypes.c_void_p(self.library.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.library.TF_LoadSessionFromSavedModel(
                options, None, str(saved_model).encode(), tags, 1, self.graph, None, self.status
            )
        )
        self.check()

    def check(self):
        if self.library.TF_GetCode(self.status):
            raise RuntimeError(self.library.TF_Message(self.status).decode())

    def output(self, tensor):
        name, index = tensor.split(":")
        operation = self.library.TF_GraphOperationByName(self.graph, name.encode())
        assert operation, tensor
        return Output(operation, int(index))

    def tensor(self, array):
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.library.TF_AllocateTensor(
            TYPES[array.dtype], shape, array.ndim, ctypes.c_size_t(array.nbytes)
        )
        data = self.library.TF_TensorData(ctypes.c_void_p(tensor))
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return tensor

    def array(self, tensor):
        tensor = ctypes.c_void_p(tensor)
        shape = [self.library.TF_Dim(tensor, i) for i in range(self.library.TF_NumDims(tensor))]
        dtype = {number: dtype for dtype, number in TYPES.items()}[
            self.library.TF_TensorType(tensor)
        ]
        data = ctypes.string_at(
            self.library.TF_TensorData(tensor), self.library.TF_TensorByteSize(tensor)
        )
        return np.frombuffer(data, dtype).reshape(shape)

    def run(self, inputs, outputs):
        """Runs the graph; inputs are arrays and outputs a list, by the tensors' names."""
        places = (Output * len(inputs))(*map(self.output, inputs))
        values = (ctypes.c_void_p * len(inputs))(*map(self.tensor, inputs.values()))
        wanted = (Output * len(outputs))(*map(self.output, outputs))
        results = (ctypes.c_void_p * len(outputs))()
        self.library.TF_SessionRun(
            self.session, None, places, values, len(inputs), wanted, results, len(outputs),
            None, 0, None, self.status,
        )  # fmt: skip
        self.check()
        return [self.array(result) for result in results]


def main(folder, saved_model, inputs, names, outputs):
    names = json.loads(pathlib.Path(names).read_text())
    with np.load(inputs) as arrays:
        inputs = {names["inputs"][name]: values for name, values in arrays.items()}
    session = Session(pathlib.Path(folder), saved_model)
    found = session.run(inputs, list(names["outputs"].values()))
    np.savez(outputs, **dict(zip(names["outputs"], found)))
    assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main(*sys.argv[1:])
