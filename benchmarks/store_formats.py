"""Which file format suits a TeacherStore: memory-mapped .npy, ArrayRecord or TFRecord.

    python benchmarks/store_formats.py [--rounds 5] [--examples 200000]

Writes float16 rows of a width (10 logits, 384 features) in each format, and reads them in batches
of 128 in a random order, as a shuffled data set asks for them, and in the stored order. TFRecord
has no access by index: it is read in the stored order, by its own pipeline. A row of ArrayRecord
is one record; it is written with group_size:1, which its readers ask for. Prints examples a second
as minimum, median and maximum of the rounds, and bytes an example.
"""

import argparse
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from array_record.python import array_record_module
from text_throughput import row

BATCH_SIZE = 128


def write_npy(path, rows):
    with open(path, "wb") as file:
        np.save(file, rows)


def write_array_record(path, rows):
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for values in rows:
        writer.write(values.tobytes())
    writer.close()


def write_tfrecord(path, rows):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for values in rows:
            writer.write(values.tobytes())


def read_npy(path, batches, width):
    rows = np.load(path, mmap_mode="r").view(np.ndarray)
    return (rows[places] for places in batches)


def read_array_record(path, batches, width):
    reader = array_record_module.ArrayRecordReader(str(path))
    for places in batches:
        records = b"".join(reader.read(places.tolist()))
        yield np.frombuffer(records, "float16").reshape(-1, width)


def read_tfrecord(path, batches, width):
    rows = tf.data.TFRecordDataset(str(path)).batch(BATCH_SIZE)
    return iter(rows.map(lambda records: tf.io.decode_raw(records, tf.float16)))


FORMATS = {
    ".npy, mapped": (write_npy, read_npy),
    "ArrayRecord": (write_array_record, read_array_record),
    "TFRecord": (write_tfrecord, read_tfrecord),
}


def seconds(read):
    start = time.perf_counter()
    for _ in read:
        end = time.perf_counter()
    return end - start


def compare(folder, num_examples, width, num_rounds):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(num_examples, width)).astype("float16")
    rates, sizes = {}, {}
    for name, (write, _) in FORMATS.items():
        path = folder / f"{name}_{width}"
        start = time.perf_counter()
        write(path, rows)
        rates[name, "written"] = [num_examples / (time.perf_counter() - start)]
        sizes[name] = path.stat().st_size / num_examples
    stored_order = np.arange(num_examples)
    for _ in range(num_rounds):
        orders = {"stored order": stored_order, "random order": rng.permutation(num_examples)}
        for order, places in orders.items():
            batches = np.split(places, range(BATCH_SIZE, num_examples, BATCH_SIZE))
            for name, (_, read) in FORMATS.items():
                if (name, order) == ("TFRecord", "random order"):
                    continue
                path = folder / f"{name}_{width}"
                check(read(path, batches, width), rows[batches[0]])
                time_taken = seconds(read(path, batches, width))
                rates.setdefault((name, order), []).append(num_examples / time_taken)
    for (name, what), values in rates.items():
        row(f"{width} values, {name}, {what}", np.array(values), 0)
    for name, size in sizes.items():
        print(f"| {width} values, {name}, bytes an example | {size:.1f} | | |")


def check(read, expected):
    np.testing.assert_array_equal(next(iter(read)), expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=200_000)
    arguments = parser.parse_args()
    print("| examples a second | min | median | max |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for width in (10, 384):
            compare(pathlib.Path(folder), arguments.examples, width, arguments.rounds)


if __name__ == "__main__":
    main()
