"""A BERT teaches a BERT of half its layers, inside and out (Jiao et al. 2020, arXiv:1909.10351).

    python examples/sst2_tinybert.py --teacher BERT --data SST2

BERT is a KerasHub preset or folder, or a Hugging Face folder; SST2 the folder with
train_phrases, dev and test.tsv.gz. The student starts with every second layer of the
fine-tuned teacher. Stage 1 matches embeddings, hidden states and attention, layer i of the
student to layer 2i + 1 of the teacher; stage 2 the logits. The baseline starts with the same
layers and takes as many steps on the labels.

Deviations from the paper: attention probabilities are compared, not the scores before the
softmax; task data only, with no general distillation before; no augmentation.

Measured on the test sentences, 3 seeds: teacher 90.44 %, student 88.56 %, baseline 87.31 %; 140
minutes on one core, the teacher's training included. The table is in README.md.
"""

import time
import warnings

import keras
import text_recipe as recipe

import keras_distill as kd

LAYERS = (1, 3, 5)


def objectives():
    """Embeddings, hidden states and attention of a student cut out at LAYERS."""
    mse = kd.losses.FeatureMSE()
    embeddings = "embeddings_layer_norm"
    teacher, student = ([f"transformer_layer_{i}" for i in range(n)] for n in (6, len(LAYERS)))
    teacher_scores, student_scores = (
        [f"{layer}/self_attention_layer/attention_scores" for layer in layers]
        for layers in (teacher, student)
    )
    return [
        kd.Objective(
            mse,
            teacher_layer=embeddings,
            student_layer=embeddings,
            projector="auto",
            name="embeddings",
        ),
        *kd.layer_objectives(
            mse, teacher_layers=teacher, student_layers=student, projector="auto", name="hidden"
        ),
        *kd.layer_objectives(
            mse, teacher_layers=teacher_scores, student_layers=student_scores, name="attention"
        ),
    ]


def imitate(student, teacher, vocabulary, train, num_steps, learning_rate, seed):
    """Stage 1: the inside of the student becomes like the teacher's. Reads no labels."""
    batches = kd.text.batch_by_length(
        kd.text.Examples(train.texts),
        vocabulary,
        teacher=teacher.preprocessor,
        bucket_lengths=recipe.LENGTHS,
        batch_size=32,
        seed=seed,
    )
    # alpha=1 leaves out the loss on the logits; without labels only the objectives remain.
    distiller = kd.Distiller(
        student=student, teacher=teacher.classifier, alpha=1.0, objectives=objectives()
    )
    schedule = kd.optimizers.WarmupLinearDecay(learning_rate, num_steps)
    distiller.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01, global_clipnorm=1.0))
    with warnings.catch_warnings():
        # Nothing here reads the pooled output and the logits.
        warnings.filterwarnings("ignore", "Gradients do not exist")
        distiller.fit(batches.repeat(), epochs=1, steps_per_epoch=num_steps, shuffle=False)


def main(arguments):
    start = time.time()
    output = arguments.output or recipe.SAVED_MODELS / "sst2_tinybert"
    train, dev, test = recipe.read_parts(arguments.data, train="train_phrases")
    teacher = recipe.finetuned_teacher(
        arguments, output, train, 2, epochs=3, learning_rate=5e-5, sequence_length=64
    )
    vocabulary = kd.text.WordPieceVocabulary.from_teacher(
        teacher.preprocessor.preprocessor, sequence_length=64
    )
    steps = arguments.steps
    shared = {"learning_rate": arguments.rate, "batch_size": 32}
    taught = {
        "answers": recipe.stored_answers(teacher, train, output),
        "alpha": 0.0,
        "soft_loss": kd.losses.SoftTargetKL(1.0, teacher_from_logits=True),
        **shared,
    }
    predict = recipe.Lesson(train, num_steps=steps, **taught)
    lessons = {
        "alone": recipe.Lesson(train, num_steps=2 * steps, **shared),
        "logits only": recipe.Lesson(train, num_steps=2 * steps, **taught),
        "both stages": predict,
    }

    def make_student(lesson, seed):
        student = kd.students.from_teacher(teacher, LAYERS)
        if lesson is predict:
            imitate(student, teacher, vocabulary, train, steps, arguments.rate, seed)
        return student

    rows, student = recipe.compare(
        lessons, make_student, vocabulary, dev, test, recipe.accuracy, arguments.seeds
    )
    recipe.print_table(teacher, rows, test, recipe.accuracy, "accuracy")
    recipe.export(student, vocabulary, vocabulary, output, test)
    print(f"\nTook {(time.time() - start) / 60:.0f} minutes.")


if __name__ == "__main__":
    main(recipe.arguments(__doc__.splitlines()[0], rate=5e-5, steps=500))
