"""Small random modules of every kind that TF-Hub has, as folders."""

import pathlib

import tensorflow as tf

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
WORD_PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "good",
    "bad",
    "film",
    "##s",
    "##ing",
    "watch",
]
WORDS, WIDTH, LAYERS = len(WORD_PIECES), 8, 2


class Encoder(tf.Module):
    """Computes like an encoder of TF-Hub's BERT interface: dropout, masks, a pooler."""

    def __init__(self, dropout=0.5):
        super().__init__(name="encoder")
        self.dropout = dropout
        self.words = self._variable([WORDS, WIDTH], "word_embeddings/embeddings")
        self.types = self._variable([2, WIDTH], "type_embeddings/embeddings")
        self.kernels = [
            self._variable([WIDTH, WIDTH], f"transformer/layer_{i}/kernel") for i in range(LAYERS)
        ]
        self.pooler = self._variable([WIDTH, WIDTH], "pooler_transform/kernel")

    def _variable(self, shape, name):
        return tf.Variable(tf.random.normal(shape), name=name)

    def encode(self, inputs, training):
        ids, mask, types = (inputs[name] for name in INPUTS)
        x = tf.gather(self.words, ids) + tf.gather(self.types, types)
        mask = tf.cast(mask, tf.float32)[..., tf.newaxis]
        hidden = []
        for kernel in self.kernels:
            mean = tf.reduce_sum(x * mask, 1, keepdims=True) / tf.reduce_sum(mask, 1, keepdims=True)
            x = tf.tanh(tf.tensordot(x + mean, kernel, 1))
            x = tf.nn.dropout(x, self.dropout) if training else x
            # As from a real encoder: the length is not known to the caller.
            hidden.append(tf.ensure_shape(x, [None, None, WIDTH]))
        pooled = tf.tanh(tf.matmul(x[:, 0], self.pooler))
        return {
            "default": pooled,
            "pooled_output": pooled,
            "sequence_output": hidden[-1],
            "encoder_outputs": hidden,
        }


def save_encoder(folder, dropout=0.5):
    """Writes a reusable SavedModel with regularisation losses, as TF-Hub's BERTs are."""
    encoder = Encoder(dropout)
    spec = {name: _ids(name) for name in INPUTS}

    @tf.function(autograph=False)
    def call(inputs, training=False, mask=None):
        return encoder.encode(inputs, training)

    for training in (False, True):
        call.get_concrete_function(spec, training=training, mask=None)
    root = tf.train.Checkpoint(encoder=encoder)
    root.__call__ = call
    root.variables = [*encoder.variables, tf.Variable(3, name="steps", trainable=False)]
    root.trainable_variables = list(encoder.trainable_variables)
    root.regularization_losses = [_l2_norm(kernel) for kernel in encoder.kernels]
    tf.saved_model.save(root, str(folder))
    return folder


def _l2_norm(kernel):
    return tf.function(lambda: tf.reduce_sum(kernel**2), autograph=False, input_signature=[])


def save_signatures(folder):
    """Writes an encoder as older modules are: only signatures, here two."""
    encoder = Encoder()

    @tf.function(autograph=False, input_signature=[_ids(name) for name in INPUTS])
    def serve(input_word_ids, input_mask, input_type_ids):
        ids = dict(zip(INPUTS, (input_word_ids, input_mask, input_type_ids)))
        outputs = encoder.encode(ids, False)
        return {name: outputs[name] for name in ("pooled_output", "sequence_output")}

    @tf.function(autograph=False, input_signature=[_ids("ids")])
    def embed(ids):
        return {"embeddings": tf.gather(encoder.words, ids)}

    signatures = {"serving_default": serve, "embed": embed}
    tf.saved_model.save(encoder, str(folder), signatures=signatures)
    return folder


def _ids(name):
    return tf.TensorSpec([None, None], tf.int32, name=name)


def save_projection(folder):
    """Writes a module from a float tensor to a float tensor."""
    kernel = tf.Variable(tf.random.normal([3, 4]), name="kernel")

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def call(x):
        return tf.matmul(x, kernel)

    root = tf.train.Checkpoint()
    root.__call__ = call
    root.variables = root.trainable_variables = [kernel]
    tf.saved_model.save(root, str(folder))
    return folder


def save_preprocessor(folder):
    """Writes a preprocessor: texts to an encoder's inputs; `tokenize`, `bert_pack_inputs`."""
    import tensorflow_text as tf_text

    vocabulary = pathlib.Path(f"{folder}_vocab") / "vocab.txt"
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("\n".join(WORD_PIECES), encoding="utf-8")
    asset = tf.saved_model.Asset(str(vocabulary))
    tokenizer = tf_text.BertTokenizer(asset.asset_path, token_out_type=tf.int32, lower_case=True)
    start, end = WORD_PIECES.index("[CLS]"), WORD_PIECES.index("[SEP]")

    def pack(segments, length):
        segments = [segment.merge_dims(1, -1) for segment in segments]
        trimmed = tf_text.RoundRobinTrimmer(length - len(segments) - 1).trim(segments)
        ids, types = tf_text.combine_segments(trimmed, start, end)
        ids, mask = tf_text.pad_model_inputs(ids, length)
        types, _ = tf_text.pad_model_inputs(types, length)
        return dict(zip(INPUTS, (ids, tf.cast(mask, tf.int32), tf.cast(types, tf.int32))))

    texts = tf.TensorSpec([None], tf.string)

    @tf.function(autograph=False)
    def pack_inputs(segments, seq_length=128):
        return pack(segments, seq_length)

    for num_segments in (1, 2):
        segments = [tf.RaggedTensorSpec([None, None, None], tf.int32)] * num_segments
        pack_inputs.get_concrete_function(segments, seq_length=tf.TensorSpec([], tf.int32))
    root = tf.train.Checkpoint(vocabulary=asset, tokenizer=tokenizer)
    root.tokenize = tf.train.Checkpoint()
    root.tokenize.__call__ = tf.function(tokenizer.tokenize, [texts], autograph=False)
    root.bert_pack_inputs = tf.train.Checkpoint()
    root.bert_pack_inputs.__call__ = pack_inputs
    root.__call__ = tf.function(
        lambda texts: pack([tokenizer.tokenize(texts)], 6), [texts], autograph=False
    )
    tf.saved_model.save(root, str(folder))
    return folder


def save_tf1(folder):
    """Writes a module in the TF1 Hub format: graph, variables, and `tfhub_module.pb`."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        y = tf.matmul(x, v1.get_variable("kernel", [3, 4]))
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, {"default": y})
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    # ModuleDefProto(format=FORMAT_V3).
    (pathlib.Path(folder) / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder
