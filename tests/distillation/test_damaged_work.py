"""What a distillation keeps to go on with is believed only where it is sound: text, identity, checkpoint."""

import json
import math
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from specdec_cli.distillation.checkpoint import read_checkpoint, require_state
from specdec_cli.distillation.corpus import IDENTITY, Corpus
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.errors import InputError

RECIPE = Recipe("tiny", tokens=24 * 16, texts=24, length=16, batch=6, epochs=2)
VOCAB_SIZE, HIDDEN = 40, 8
SHARD = {
    "tokens": torch.arange(24 * 16).view(24, 16).remainder(VOCAB_SIZE).int(),
    "roles": torch.ones(24, 16, dtype=torch.uint8),
    "features": torch.ones(24, 16, HIDDEN, dtype=torch.float16),
    "normalisers": torch.ones(24, 16),
}
WEIGHTS = [torch.ones(3, 4), torch.ones(4)]


def refusal(call, *arguments):
    with pytest.raises(InputError) as refused:
        call(*arguments)
    assert refused.value.exit_code == 2
    assert "Delete" in refused.value.hint or "delete" in refused.value.hint
    return refused.value.problem


@pytest.fixture
def corpus(tmp_path):
    made = Corpus(tmp_path / "text", RECIPE.corpus)
    for number in range(RECIPE.shards):
        save_file(SHARD, made.path(number))
    return made


def test_a_sound_corpus_is_counted(corpus):
    counts = corpus.token_counts(VOCAB_SIZE, HIDDEN, RECIPE.shards)
    assert counts.tolist() == torch.bincount(SHARD["tokens"].flatten(), minlength=VOCAB_SIZE).tolist()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ("[]", "expected object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"texts": []}', "expected"),
        ('{"target": "other"}', "written for another target"),
    ],
)
def test_an_identity_that_is_none_is_named(corpus, text, says):
    (corpus.folder / IDENTITY).write_text(text)
    assert says in refusal(Corpus, corpus.folder, RECIPE.corpus)


COLUMNS = {
    "a column less": ("tokens", None, "it has no tokens"),
    "other numbers": ("tokens", SHARD["tokens"].long(), "its tokens are not"),
    "fewer texts": ("roles", SHARD["roles"][1:], "its roles are not"),
    "longer texts": ("normalisers", torch.ones(24, 17), "its normalisers are not"),
    "no width": ("features", torch.ones(24, 16).half(), "its features are not"),
    "broadcast": ("features", torch.ones(1, 1, HIDDEN).half(), "its features are not"),
}
VALUES = {
    "ids that the target does not have": ("tokens", SHARD["tokens"] + VOCAB_SIZE),
    "it holds ids": ("tokens", -1 - SHARD["tokens"]),
    "roles that there are not": ("roles", SHARD["roles"] * 7),
    "hidden states of another width": ("features", torch.ones(24, 16, HIDDEN + 1).half()),
    "numbers that are not finite": ("features", SHARD["features"] * math.nan),
    "that are not finite": ("normalisers", SHARD["normalisers"] * math.inf),
}


def changed(corpus, number, name, column):
    shard = {key: each for key, each in load_file(corpus.path(number)).items() if key != name}
    save_file(shard if column is None else {**shard, name: column.contiguous()}, corpus.path(number))


@pytest.mark.parametrize("what", COLUMNS)
def test_a_shard_of_other_columns_is_named_before_it_is_read(corpus, what):
    *change, says = COLUMNS[what]
    changed(corpus, 1, *change)
    for call in (corpus.check, corpus.read):
        said = refusal(call, 1)
        assert "00001.safetensors is damaged: " in said
        assert says in said


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("says", VALUES)
def test_what_a_target_cannot_have_written_is_named(corpus, says, number):
    changed(corpus, number, *VALUES[says])
    said = refusal(corpus.token_counts, VOCAB_SIZE, HIDDEN, RECIPE.shards)
    assert f"0000{number}.safetensors is damaged: " in said
    assert says in said


def moments(weight):
    zeros = torch.zeros_like(weight)
    return {"step": torch.tensor(3.0), "exp_avg": zeros.clone(), "exp_avg_sq": zeros.clone()}


def state():
    return {
        "recipe": RECIPE.as_dict(),
        "weights": [weight.clone() for weight in WEIGHTS],
        "optimizer": {"state": {n: moments(each) for n, each in enumerate(WEIGHTS)}, "param_groups": []},
        "progress": {"step": 3, "loss": 0.5, "history": [{"step": 3, "loss": 0.5}]},
    }


STATES = {
    "recipe is missing": lambda s: s.pop("recipe"),
    "weights is missing": lambda s: s.pop("weights"),
    "optimizer is missing": lambda s: s.pop("optimizer"),
    "progress is missing": lambda s: s.pop("progress"),
    "recipe: expected object": lambda s: s.update(recipe=[]),
    "with other settings": lambda s: s["recipe"].update(seed=9),
    "weights: expected array": lambda s: s.update(weights={}),
    "it has 1 weights, and the draft 2": lambda s: s["weights"].pop(),
    "weight 0 has the shape 1 x 4, and the draft's 3 x 4": lambda s: s["weights"].__setitem__(
        0, torch.ones(1, 4)
    ),
    "weight 1 has the shape ()": lambda s: s["weights"].__setitem__(1, torch.tensor(1.0)),
    "weight 1 is no tensor of float32": lambda s: s["weights"].__setitem__(1, torch.ones(4).half()),
    "weight 1 is no tensor": lambda s: s["weights"].__setitem__(1, [1.0] * 4),
    "weight 0 holds numbers that are not finite": lambda s: s["weights"][0].fill_(math.nan),
    "optimiser's state is not that of the draft's weights": lambda s: s["optimizer"]["state"].pop(1),
    "optimizer: expected object": lambda s: s["optimizer"].update(state=3),
    "weight 1 is not all there": lambda s: s["optimizer"]["state"][1].pop("exp_avg"),
    "weight 0, exp_avg, has the shape 4": lambda s: s["optimizer"]["state"][0].update(exp_avg=torch.ones(4)),
    "exp_avg_sq, holds numbers that are not finite": lambda s: s["optimizer"]["state"][0]["exp_avg_sq"].fill_(
        math.inf
    ),
    "holds squares below 0": lambda s: s["optimizer"]["state"][0]["exp_avg_sq"].fill_(-1),
    "counts no steps": lambda s: s["optimizer"]["state"][0].update(step=torch.tensor(math.nan)),
    "progress.step: expected int, got str": lambda s: s["progress"].update(step="3"),
    "progress.step: expected int >= 0": lambda s: s["progress"].update(step=-1),
    "it is at step 9000 of": lambda s: s["progress"].update(step=9000),
    "its loss is not finite": lambda s: s["progress"].update(loss=math.inf),
    "progress.history: expected array": lambda s: s["progress"].update(history="none"),
    "progress.history[0]": lambda s: s["progress"].update(history=[3]),
}


def restored(path: Path) -> object:
    found = read_checkpoint(path, RECIPE)
    require_state(found, WEIGHTS, path)
    return found.progress


def test_a_sound_checkpoint_is_taken(tmp_path):
    torch.save(state(), tmp_path / "training.pt")
    assert vars(restored(tmp_path / "training.pt")) == state()["progress"]


@pytest.mark.parametrize("says", STATES)
def test_a_checkpoint_that_does_not_fit_is_named(tmp_path, says):
    made = state()
    STATES[says](made)
    torch.save(made, tmp_path / "training.pt")
    said = refusal(restored, tmp_path / "training.pt")
    assert "training.pt" in said
    assert says in said


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x80\4.", b"nonsense" * 99])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "training.pt").write_bytes(content)
    assert "training.pt is damaged: it cannot be read" in refusal(restored, tmp_path / "training.pt")


def test_a_checkpoint_that_grows_when_unpacked_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "training.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", b"\0" * (1 << 22))
    assert "it cannot be read" in refusal(restored, tmp_path / "training.pt")


def test_json_keeps_what_decides_the_text(corpus):
    assert json.loads((corpus.folder / IDENTITY).read_text()) == RECIPE.corpus
