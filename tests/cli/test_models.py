"""`specdec models`, on tokenizers small enough to make here."""

import json
from pathlib import Path
from typing import NoReturn

import pytest
import tiny_checkpoints as tiny
from program import Program
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, PreTrainedTokenizerFast

from specdec_cli.errors import InputError
from specdec_cli.models.loader import load_tokenizer_only
from specdec_cli.registry.models import REGISTRY


def make_model(folder: Path, words: list[str], width: int) -> str:
    """A model folder with a vocabulary and a width, and no weights."""
    tokenizer = Tokenizer(WordLevel({word: token for token, word in enumerate(words)}, unk_token=words[0]))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=words[0]).save_pretrained(folder)
    LlamaConfig(vocab_size=width, hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(
        folder
    )
    return str(folder)


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    return {
        "target": make_model(tmp_path / "target", ["?", "a", "b", "c"], 4),
        "padded": make_model(tmp_path / "padded", ["?", "a", "b", "c"], 8),
        "other": make_model(tmp_path / "other", ["?", "a", "c", "b"], 4),
    }


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def test_list_has_every_registered_model(specdec: Program) -> None:
    outcome = specdec("models", "list")
    assert (outcome.code, outcome.err) == (0, "")
    for name in REGISTRY:
        assert name in outcome.out


def test_list_json_says_what_is_not_fetched(specdec: Program, tmp_path: Path) -> None:
    listed = json.loads(specdec("models", "list", "--json").out)
    assert [model["name"] for model in listed] == list(REGISTRY)
    for model in listed:
        assert model["state"] == "not fetched"
        assert Path(model["folder"]).is_relative_to(tmp_path / "cache")


def test_pull_prints_the_folder_alone(specdec: Program, models: dict[str, str]) -> None:
    outcome = specdec("models", "pull", models["target"])
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{models['target']}\n", "")


def test_check_passes_equal_tokens_of_unequal_widths(specdec: Program, models: dict[str, str]) -> None:
    outcome = specdec("models", "check", models["target"], models["padded"])
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{models['padded']} can draft for {models['target']}: ")


def test_check_ends_in_three_where_ids_differ(specdec: Program, models: dict[str, str]) -> None:
    outcome = specdec("models", "check", models["target"], models["other"])
    assert (outcome.code, outcome.err) == (3, "")
    assert "cannot draft" in outcome.out
    assert "id 2: 'b' to the target, 'c' to the draft" in outcome.out


def test_check_json_carries_the_comparison(specdec: Program, models: dict[str, str]) -> None:
    outcome = specdec("models", "check", models["target"], models["other"], "--json")
    report = json.loads(outcome.out)
    assert outcome.code == 3
    assert (report["target"], report["draft"]) == (models["target"], models["other"])
    assert (report["compatible"], report["shared"], report["num_differing"]) == (False, 2, 2)
    assert report["differing"] == [[2, "b", "c"], [3, "c", "b"]]


def test_check_of_a_path_where_nothing_lies_is_a_usage_error(
    specdec: Program, models: dict[str, str]
) -> None:
    outcome = specdec("models", "check", models["target"], "./nowhere")
    assert (outcome.code, outcome.out) == (2, "")
    assert "nowhere" in outcome.err


@pytest.mark.parametrize("draft", ["ngram", "layers:8"])
def test_check_of_a_draft_that_is_no_model_says_that_it_fits_anyway(specdec: Program, draft: str) -> None:
    outcome = specdec("models", "check", "smollm2-135m", draft)
    assert (outcome.code, outcome.out) == (2, "")
    assert "fits any target" in outcome.err


def test_compile_refuses_what_it_cannot_compile(specdec: Program, tmp_path: Path) -> None:
    folder = str(tiny.folder(tmp_path / "gpt2", architecture="GPT2"))
    outcome = specdec("models", "compile", folder)
    assert (outcome.code, outcome.out) == (1, "")
    assert "A gpt2 model on cpu cannot be compiled" in outcome.err.replace("\n", " ")


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": -1}},
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "spiral"}},
        {"hidden_act": " "},
        {"hidden_act": "SILU"},
    ],
)
@pytest.mark.parametrize("options", [(), ("--offload", "disk"), ("--quantize", "int8")])
def test_a_configuration_that_builds_no_model_is_a_usage_error_however_it_is_loaded(
    specdec, tmp_path, change, options
):
    folder = tiny.folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    outcome = specdec("generate", "-m", str(folder), "--method", "autoregressive", "-p", "a", *options)
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert outcome.err.startswith("Error: ")
    assert "--debug" not in outcome.err


def test_a_special_token_without_an_id_is_left_out(specdec, tmp_path):
    folder = tiny.folder(tmp_path / "model")
    config = json.loads((folder / "tokenizer.json").read_text())
    del config["model"]["vocab"]["</s>"]
    config["added_tokens"] = [each for each in config["added_tokens"] if each["content"] != "</s>"]
    (folder / "tokenizer.json").write_text(json.dumps(config))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "</s>"}))
    outcome = specdec("generate", "-m", str(folder), "--method", "autoregressive", "-p", "a", "-n", "3")
    assert outcome.code == 0, outcome.err


def test_check_reads_the_target_at_a_revision(
    specdec: Program, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def read(name: str, *, revision: str | None = None, **more: object) -> tuple[object, int]:
        asked[name] = (revision, more["trust_remote_code"])
        return load_tokenizer_only(name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("specdec_cli.models.loader.load_tokenizer_only", read)
    pair = models["target"], models["padded"]
    assert specdec("models", "check", *pair, "--revision", "v2", "--trust-remote-code").code == 0
    assert asked == {pair[0]: ("v2", True), pair[1]: (None, True)}
    assert specdec("models", "check", *pair).code == 0
    assert asked == dict.fromkeys(pair, (None, False))


def test_compile_loads_what_its_flags_name(specdec: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def load(name: str, *, report: object, **more: object) -> NoReturn:
        asked.append({"name": name, **more})
        raise InputError("This is far enough.", "Look at what was asked.")

    monkeypatch.setattr("specdec_cli.models.loader.load_model", load)
    flags = ("--dtype", "float32", "--revision", "v2", "--trust-remote-code")
    for given in ((), flags):
        assert "far enough" in specdec("models", "compile", "some/model", *given).err
    assert asked == [
        {"name": "some/model", "device": "cpu"},
        {
            "name": "some/model",
            "device": "cpu",
            "dtype": "float32",
            "revision": "v2",
            "trust_remote_code": True,
        },
    ]
