"""What several pages need, made once."""

import pytest
import small_bert


@pytest.fixture(scope="session")
def bert_preset(tmp_path_factory):
    """The folder of a small BERT of KerasHub, with its preprocessor."""
    folder = tmp_path_factory.mktemp("bert") / "preset"
    small_bert.make_backbone(max_sequence_length=128).save_to_preset(folder)
    small_bert.make_preprocessor().save_to_preset(folder)
    return folder
