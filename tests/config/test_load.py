"""A run's configuration: sizes, files, `--set`, and what is wrong with them."""

import dataclasses

import pytest

from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.load import config_from_dict, load_config, to_toml
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.errors import ConfigError
from tests.reporter import MessageReporter


@pytest.mark.parametrize("size", sorted(SIZES))
def test_a_written_configuration_reads_back_as_itself(size, tmp_path):
    sets = ["train.clip_norm=none", "data.sessions=['a-1-1', 'b']", "video.stages=[1, 2]"]
    config = load_config(sets=sets, size=size)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert load_config(path) == config
    assert config.train.clip_norm is None
    assert config.data.sessions == ("a-1-1", "b")
    assert config.model.video.stages == (1, 2)
    assert config.model.size == size


def test_the_last_word_wins_between_size_file_and_set(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("seed = 3\n[model]\nsize = 'tiny'\nlayers = 5\n[train]\nsteps = 10\n")
    config = load_config(path, ["model.layers=7"])
    assert (config.seed, config.model.size, config.model.layers, config.train.steps) == (
        3, "tiny", 7, 10,
    )  # fmt: skip
    assert load_config(path, size="nano").model.size == "nano"


def test_keys_of_sessions_may_be_numbers_without_quotes(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[data]\nsessions = [951980471, 'a-1-1']\n")
    assert load_config(path).data.sessions == ("951980471", "a-1-1")
    config = load_config(sets=["data.sessions=[951980471]", "train.validation_sessions=[7]"])
    assert config.data.sessions == ("951980471",)
    assert config.train.validation_sessions == ("7",)
    with pytest.raises(ConfigError, match=r"`data\.sessions` must be of type str: 1\.5"):
        load_config(sets=["data.sessions=[1.5]"])


def test_sections_of_the_model_may_stand_alone():
    short = load_config(sets=["decoder.own_history=false", "latents.num_global=9"])
    long = load_config(sets=["model.decoder.own_history=false", "model.latents.num_global=9"])
    assert short == long
    assert short.model.decoder.own_history is False
    assert short.model.latents.num_global == 9


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("model.layer=4", "there is no configuration key `model.layer`", "`model.layers`"),
        ("modle.layers=4", "there is no configuration key `modle`", "`model`"),
        ("model.layers=four", "`model.layers` must be of type int: 'four'", None),
        ("model.layers=true", "`model.layers` must be of type int: True", None),
        ("model.layers=0", "configuration section `model`: `layers` must be positive: 0", None),
        (
            "model.decoder.motion_wavelengths=[8, 0]",
            "configuration section `model.decoder`: `motion_wavelengths` must be positive: 0.0",
            None,
        ),
        (
            "model.decoder.motion_time_constants=[-1]",
            "configuration section `model.decoder`: `motion_time_constants` must be positive: -1.0",
            None,
        ),
        ("data.sampling=ballanced", "`data.sampling` cannot be 'ballanced'", "`balanced`"),
        ("video.kernel=[1, 2]", "`model.video.kernel` must have 3 values: [1, 2]", None),
        ("model=4", "`model` is a section, not a value: 4", None),
        ("model.decoder=4", "`model.decoder` is a section, not a value: 4", None),
        ("model.size=[1]", "there is no model size [1]", "nano"),
        ("train.steps", "`--set train.steps` is not of the form section.key=value", "layers=4"),
    ],
)
def test_a_wrong_set_is_named_with_the_nearest_known_key(text, message, hint):
    with pytest.raises(ConfigError) as caught:
        load_config(sets=[text])
    assert caught.value.message == message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_section_that_is_also_set_as_a_value_gives_way_to_the_section():
    config = load_config(sets=["model.decoder=4", "decoder.own_history=false"])
    assert config.model.decoder.own_history is False


def test_an_unknown_size_is_named_with_the_nearest_known_one():
    with pytest.raises(ConfigError) as caught:
        load_config(size="tinny")
    assert caught.value.message == "there is no model size 'tinny'"
    assert caught.value.hint == "did you mean `tiny`?"


def test_a_file_that_is_no_toml_is_named(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("model = [")
    with pytest.raises(ConfigError, match="is not a TOML file"):
        load_config(path)
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.toml")


def test_two_lengths_of_a_run_are_refused():
    with pytest.raises(ConfigError, match="only one of `steps`, `epochs`, `minutes`"):
        load_config(sets=["train.steps=5", "train.minutes=1"])


@pytest.fixture
def renamed(monkeypatch):
    """Two keys with an old name each."""
    monkeypatch.setattr(
        "omnimouse_cli.config.convert.RENAMED_KEYS",
        {
            "train.rate": "train.learning_rate",
            "model.decoder.history": "model.decoder.own_history",
        },
    )


def test_old_keys_are_read_and_the_new_names_are_shown(renamed, tmp_path):
    path, reporter = tmp_path / "run.toml", MessageReporter()
    path.write_text("[train]\nrate = 0.5\n")
    config = load_config(path, ["decoder.history=false"], reporter=reporter)
    assert config.train.learning_rate == 0.5
    assert config.model.decoder.own_history is False
    assert reporter.warnings == [
        "the configuration key `train.rate` is now called `train.learning_rate`",
        "the configuration key `model.decoder.history` is now called `model.decoder.own_history`",
    ]


def test_old_keys_of_a_stored_run_are_read_without_a_word(renamed, tmp_path):
    path, reporter = tmp_path / "config.toml", MessageReporter()
    path.write_text("[train]\nrate = 0.5\n")
    config = load_config(path, is_stored=True, reporter=reporter)
    assert config.train.learning_rate == 0.5
    assert reporter.warnings == []
    values = {"train": {"rate": 0.25}}
    assert config_from_dict(values).train.learning_rate == 0.25
    assert values == {"train": {"rate": 0.25}}


def test_a_set_replaces_the_old_key_of_a_file(renamed, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[train]\nrate = 0.5\n")
    assert load_config(path, ["train.learning_rate=0.1"]).train.learning_rate == 0.1


def test_a_key_under_both_names_is_an_error(renamed, tmp_path):
    sets = ["model.decoder.own_history=true", "decoder.history=false"]
    with pytest.raises(ConfigError) as caught:
        load_config(sets=sets)
    assert caught.value.message == (
        "`model.decoder.history` is the old name of `model.decoder.own_history`, and both are set"
    )
    assert caught.value.hint == "remove `model.decoder.history`"


def test_to_dict_holds_every_field():
    config = load_config()
    values = to_dict(config)
    assert set(values) == {field.name for field in dataclasses.fields(config)}
    assert set(values["model"]["video"]) == {
        field.name for field in dataclasses.fields(config.model.video)
    }


def test_a_folder_in_place_of_a_configuration_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_run_that_is_older_than_a_key_keeps_the_windows_that_it_had(tmp_path):
    stored = to_dict(load_config())
    assert stored["data"].pop("require_behavior") is False
    assert config_from_dict(stored).data.require_behavior is True
    path = tmp_path / "config.toml"
    path.write_text("[data]\nbatch_size = 4\n")
    assert load_config(path, is_stored=True).data.require_behavior is True
    assert load_config(path).data.require_behavior is False
    user = load_config(path, ["data.require_behavior=false"], is_stored=True)
    assert user.data.require_behavior is False
    path.write_text(to_toml(load_config()))
    assert load_config(path, is_stored=True).data.require_behavior is False


def test_a_run_that_is_older_than_fitted_tuning_keeps_its_model():
    stored = to_dict(load_config())
    assert stored["model"]["decoder"].pop("fitted_tuning") is True
    assert stored["model"]["decoder"].pop("motion_envelope") == 0.3
    assert stored["model"]["decoder"].pop("fitted_width") == 0.5
    decoder = config_from_dict(stored).model.decoder
    assert (decoder.fitted_tuning, decoder.motion_envelope, decoder.fitted_width) == (
        False,
        0.4,
        None,
    )


def test_a_run_that_is_older_than_fixed_fields_keeps_trained_ones():
    stored = to_dict(load_config())
    assert stored["model"]["decoder"].pop("fitted_width") == 0.5
    assert stored["model"]["decoder"].pop("motion_transience") == 0.6
    assert stored["model"]["decoder"].pop("shared_filters") is True
    decoder = config_from_dict(stored).model.decoder
    assert decoder.fitted_tuning
    assert decoder.motion_transience == 0.0
    assert not decoder.has_fixed_fields
    assert not decoder.shared_filters


def test_a_run_that_is_older_than_fitted_fields_keeps_its_model(tmp_path):
    stored = to_dict(load_config())
    assert stored["model"]["decoder"].pop("fitted_fields") is True
    assert config_from_dict(stored).model.decoder.fitted_fields is False
    path = tmp_path / "config.toml"
    path.write_text('[model]\nsize = "nano"\n')
    assert load_config(path, is_stored=True).model.decoder.fitted_fields is False
    assert load_config(path).model.decoder.fitted_fields is True
    path.write_text(to_toml(load_config()))
    assert load_config(path, is_stored=True).model.decoder.fitted_fields is True
