"""A small random BERT of KerasHub, as objects and as folders."""

import json

import keras_hub
import numpy as np

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS += ["the", "film", "is", "good", "bad", "cafe", "un", "##want", "##ed", "john", "lives", "."]

SETTINGS = {
    "vocabulary_size": len(TOKENS),
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": 32,
}


def make_backbone(**settings):
    return keras_hub.models.BertBackbone(**{**SETTINGS, "name": "bert", **settings})


def make_preprocessor(tokens=TOKENS, sequence_length=16):
    tokenizer = keras_hub.models.BertTokenizer(tokens, lowercase=True, strip_accents=True)
    return keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length)


def write_hugging_face_folder(folder, backbone, hidden_act="gelu"):
    """Writes a KerasHub BERT as Hugging Face transformers lays it out."""
    from safetensors.numpy import save_file

    width = backbone.hidden_dim
    tensors = {}

    def add(name, kernel, bias, shape=None):
        kernel = np.asarray(kernel)
        kernel = kernel.reshape(shape) if shape else kernel
        tensors[name + ".weight"] = np.ascontiguousarray(kernel.T)
        tensors[name + ".bias"] = np.asarray(bias).reshape(-1)

    def add_norm(name, layer):
        tensors[name + ".weight"] = np.asarray(layer.gamma)
        tensors[name + ".bias"] = np.asarray(layer.beta)

    embeddings = {
        "word": backbone.token_embedding.embeddings,
        "position": backbone.position_embedding.position_embeddings,
        "token_type": backbone.segment_embedding.embeddings,
    }
    for name, matrix in embeddings.items():
        tensors[f"embeddings.{name}_embeddings.weight"] = np.asarray(matrix)
    add_norm("embeddings.LayerNorm", backbone.embeddings_layer_norm)
    for index, layer in enumerate(backbone.transformer_layers):
        prefix = f"encoder.layer.{index}."
        attention = layer._self_attention_layer
        for name, dense in (
            ("self.query", attention.query_dense),
            ("self.key", attention.key_dense),
            ("self.value", attention.value_dense),
            ("output.dense", attention.output_dense),
        ):
            add(prefix + "attention." + name, dense.kernel, dense.bias, (width, width))
        add_norm(prefix + "attention.output.LayerNorm", layer._self_attention_layer_norm)
        for name, dense in (
            ("intermediate.dense", layer._feedforward_intermediate_dense),
            ("output.dense", layer._feedforward_output_dense),
        ):
            add(prefix + name, dense.kernel, dense.bias)
        add_norm(prefix + "output.LayerNorm", layer._feedforward_layer_norm)
    add("pooler.dense", backbone.pooled_dense.kernel, backbone.pooled_dense.bias)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": hidden_act,
        "vocab_size": backbone.vocabulary_size,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "hidden_size": width,
        "intermediate_size": backbone.intermediate_dim,
        "max_position_embeddings": backbone.max_sequence_length,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return folder
