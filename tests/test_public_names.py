"""The public names: each is listed here once, so that none comes or goes by accident."""

import inspect
import types

import pytest

import keras_distill as kd

# The home of each name; "" is the package itself.
NAMES = {
    "": """
        DistillationInputs Distiller HubLayer Objective TeacherStore benchmark compare describe
        export_saved_model export_tflite layer_objectives
    """,
    "callbacks": "BackupAndRestore Pruning",
    "data": """
        RandomViews generate_targets join_tasks mix_tasks pair_inputs with_example_index
    """,
    "export": "ImageMetadata TextMetadata serving_command",
    "jobs": "ImageJob TextJob",
    "losses": """
        ActivationBoundaries AttentionKL AttentionMSE AttentionRelationKL AttentionTransfer
        BinarySoftTargets BoundedRegression CRD ClassWeightedSoftTargets CorrelationCongruence DIST
        DKD DistillationLoss FSP FactorTransfer FeatureCosine FeatureMSE FeatureOverhaul
        GradientNorm HardDarkRank IRG JacobianMatching KnowledgeReview LogitsMSE MaskedGenerative
        NeuronSelectivity PKD ProbabilisticTransfer RKDAngle RKDDistance RegionMSE
        SimilarityPreserving Sobolev SoftDarkRank SoftTargetKL SpecialistKL
        VariationalInformation paraphraser
    """,
    "metrics": "Fidelity TeacherAgreement",
    "optimizers": "WarmupLinearDecay finetuning_optimizer",
    "store": "label_with_beam",
    "students": """
        bilstm from_teacher mlp mobile_cnn moonshine net2net_deeper net2net_wider plain_cnn
        quantization_aware text_cnn transformer
    """,
    "teachers": "Ensemble Specialists TaskTeachers TextInputs text_classifier numpy_teacher",
    "teaching": """
        ActivationStatistics DataFree MutualLearning NativeEnsemble RocketLaunching Stage fit_chain
        fit_stages record_statistics synthesize
    """,
    "text": """
        Examples WordPieceVocabulary WordVocabulary augment augment_with_nearest_words
        batch_by_length copy_embeddings from_lists load_tfds load_vectors read_lines read_table
    """,
}


def is_module(name):
    return isinstance(getattr(kd, name), types.ModuleType)


def test_modules():
    assert {name for name in kd.__all__ if is_module(name)} == {name for name in NAMES if name}


@pytest.mark.parametrize("home", NAMES)
def test_names(home):
    module = getattr(kd, home) if home else kd
    names = {name for name in module.__all__ if home or not is_module(name)}
    assert names == set(NAMES[home].split())
    for name in names:
        assert getattr(module, name).__doc__, name


def test_each_name_has_one_home():
    names = " ".join(NAMES.values()).split()
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("callable_", "names"),
    [
        (kd.Distiller, {"student", "teacher"}),
        (kd.Objective, {"teacher_layer", "student_layer"}),
        (kd.layer_objectives, {"teacher_layers", "student_layers"}),
        (kd.data.pair_inputs, {"student", "teacher"}),
        (kd.teaching.RocketLaunching, {"light", "booster", "trunk"}),
        (kd.teaching.NativeEnsemble, {"trunk", "branches", "gate"}),
        (kd.teaching.fit_stages, {"student", "teacher"}),
        (kd.teaching.fit_chain, {"students", "teacher"}),
        (kd.text.copy_embeddings, {"teacher_vocabulary", "vocabulary"}),
    ],
)
def test_what_could_be_swapped_is_given_by_name(callable_, names):
    """A teacher in the place of the student would be trained, and nothing would say so."""
    parameters = inspect.signature(callable_).parameters
    assert {parameters[name].kind for name in names} == {inspect.Parameter.KEYWORD_ONLY}
