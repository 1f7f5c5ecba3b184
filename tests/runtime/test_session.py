"""A session: which roles it gives, and what it keeps between runs."""

from dataclasses import replace
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from sessions import PROMPT, tokens

from specdec_cli.drafting.best_first import BestFirstDrafter
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.drafting.ngram_first import NgramFirstDrafter
from specdec_cli.drafting.none import NoDrafter
from specdec_cli.drafting.tree_drafter import TreeDrafter
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime import session as session_module
from specdec_cli.runtime.build import VERIFIERS
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft

pytestmark = pytest.mark.usefixtures("own_cache")


def test_every_method_has_a_rule_for_its_default_verify():
    assert Settings().verify == "token"
    assert all(method.verify["token"] in VERIFIERS for method in METHODS.values())
    assert {name for method in METHODS.values() for name in method.verify.values()} == set(VERIFIERS)


@pytest.mark.parametrize(
    ("method", "draft", "kind"),
    [
        ("autoregressive", None, NoDrafter),
        ("ngram", None, NgramDrafter),
        ("sps", "layers:1", ChainDrafter),
        ("sps", "ngram", NgramDrafter),
        ("specexec", "layers:1", BestFirstDrafter),
        ("specexec", "ngram", NgramDrafter),
        ("sps", "ngram+layers:1", NgramFirstDrafter),
        ("specexec", "ngram+layers:1", NgramFirstDrafter),
        ("specinfer", "layers:1", TreeDrafter),
        ("sequoia", "layers:1", TreeDrafter),
        ("spechub", "layers:1", TreeDrafter),
    ],
)
def test_a_method_and_a_draft_give_their_roles(settings, method, draft, kind):
    session = Session.load(settings)
    roles = session.roles(replace(settings, method=method, draft=draft))
    assert type(roles.drafter) is kind
    assert roles.verify is VERIFIERS[METHODS[method].verify["token"]]


def test_one_session_decodes_under_other_settings_and_gives_the_same_greedy_text(settings, folders):
    session = Session.load(settings)
    plain = tokens(session.steps(PROMPT, replace(settings, method="autoregressive")))
    assert len(plain) == 16
    assert tokens(session.steps(PROMPT)) == plain
    for changes in (
        {"method": "ngram"},
        {"method": "sps", "verify": "block"},
        {"method": "sps", "draft": folders["draft"], "gamma": 2},
        {"draft": folders["draft"], "max_budget": 40},
        {"method": "specinfer", "tree": "2x1x1"},
        {"method": "rrsw", "verify": "traversal"},
        {"method": "sequoia", "draft": folders["draft"]},
        {"method": "spechub", "hub_above": 0.5},
        {"method": "kseq"},
        {"method": "topk", "tree": "3^3"},
    ):
        assert tokens(session.steps(PROMPT, replace(settings, **changes))) == plain
    drawn = [
        tokens(session.steps(PROMPT, replace(settings, temperature=1.0, seed=seed))) for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    coupled = replace(settings, temperature=1.0, seed=1, coupled=True)
    assert tokens(session.steps(PROMPT, coupled)) == drawn[0]
    assert tokens(session.steps(PROMPT, replace(settings, max_tokens=5))) == plain[:5]
    assert tokens(session.steps(PROMPT)) == plain


def test_each_model_has_one_runner_however_often_it_runs(settings, folders, monkeypatch):
    made = []

    class Noted(Runner):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(session_module, "Runner", Noted)
    session = Session.load(settings)
    for _ in range(2):
        for draft in ("layers:1", folders["draft"], "ngram"):
            for method in ("specexec", "sps"):
                list(session.steps(PROMPT, replace(settings, method=method, draft=draft)))
    assert len(made) == 3  # the target, its first layer, the other folder


def test_a_draft_is_loaded_once(settings, folders):
    said: list[str] = []
    session = Session.load(replace(settings, draft=folders["draft"]), said.append)
    assert [each for each in said if "Loading" in each] == [
        f"Loading {folders['target']}",
        f"Loading {folders['draft']}",
    ]
    assert session.draft(parse_draft(folders["draft"]), said.append) is session.draft(
        parse_draft(folders["draft"])
    )
    assert len([each for each in said if "Loading" in each]) == 2


def test_a_draft_no_smaller_than_the_target_is_a_warning_told_once(settings, folders):
    session = Session.load(replace(settings, draft=folders["draft"]))
    list(session.steps(PROMPT))
    (warning,) = session.warnings
    assert warning.endswith("were they swapped?")
    assert Session.load(settings).warnings == []


def test_a_prompt_is_put_in_the_chat_template_if_there_is_one(settings, folders):
    chat, plain = Session.load(settings), Session.load(replace(settings, target=folders["plain"]))
    assert chat.decode(chat.encode("hi")) == "user:hi|assistant:"
    assert plain.decode(plain.encode("hi")) == "hi"
    raw = Session(replace(settings, chat=False), chat.target)
    assert raw.decode(raw.encode("hi")) == "hi"
    with_system = Session(replace(settings, system=""), chat.target)
    assert with_system.decode(with_system.encode("hi")) == "system:|user:hi|assistant:"


@pytest.mark.parametrize("method", ["sps", "specexec"])
@pytest.mark.parametrize(
    "choice",
    [
        {"draft": "self:int8"},
        {"draft": "self:int4"},
        {"draft": "layers:1", "draft_quantize": "int8"},
        {"draft": "DRAFT", "draft_quantize": "int4"},
    ],
)
def test_a_rounded_draft_changes_nothing_of_greedy_text(settings, folders, method, choice):
    if choice["draft"] == "DRAFT":
        choice = {**choice, "draft": folders["draft"]}
    plain = Session.load(replace(settings, method="autoregressive"))
    session = Session.load(replace(settings, method=method, **choice))
    assert tokens(session.steps(PROMPT)) == tokens(plain.steps(PROMPT))
    assert session.warnings == []


def test_a_copy_of_lower_precision_leaves_the_target_as_it_is(settings):
    session = Session.load(settings)
    before = {name: weight.clone() for name, weight in session.target.model.state_dict().items()}
    draft = session.draft(parse_draft("self:int4")).model
    assert draft.model.embed_tokens.weight is session.target.model.model.embed_tokens.weight
    assert type(draft.model.layers[0].self_attn.q_proj).__name__ == "Int4Linear"
    after = session.target.model.state_dict()
    assert before.keys() == after.keys()
    assert all(weight.equal(after[name]) for name, weight in before.items())


def test_a_rounded_target_is_another_model(settings):
    full = Session.load(replace(settings, method="autoregressive"))
    rounded = Session.load(replace(settings, method="autoregressive", quantize="int4"))
    assert rounded.target.parameters == full.target.parameters
    assert type(rounded.target.model.model.layers[0].self_attn.q_proj).__name__ == "Int4Linear"


def test_compiling_is_said_to_change_nothing_where_it_does(tmp_path):
    folder = str(tiny.folder(tmp_path / "gpt2", architecture="GPT2"))
    session = Session.load(Settings(target=folder, method="autoregressive", compile=True))
    assert session.warnings == [
        f"--compile changes nothing for {folder}: "
        "only models of the Llama family, on a CPU or a CUDA device, are compiled."
    ]


def test_threads_that_the_program_chose_are_not_added_to(settings):
    Session.load(settings)
    assert torch.get_num_threads() == 1


def test_it_says_which_models_run_and_in_which_format(settings, folders):
    session = Session.load(replace(settings, draft="layers:1", draft_quantize="int8"))
    about: dict[str, Any] = session.describe()
    assert about["target"]["dtype"] == "float32"
    assert about["target"]["source"] == folders["target"]
    assert (about["draft"]["name"], about["draft"]["quantize"]) == ("layers:1", "int8")
    assert about["chat"] is True
    assert Session.load(replace(settings, draft="ngram")).describe()["draft"] == "ngram"


def test_only_a_text_that_goes_on_is_joined_to_its_prompt(settings):
    assert Session.load(settings).join(range(20)) == ()
    assert list(Session.load(replace(settings, chat=False)).join(range(20))) == list(range(12, 20))


def test_logits_come_alike_from_one_pass_and_from_many_and_from_the_draft(settings):
    session = Session.load(settings)
    text = tokens(session.steps(PROMPT))
    together = session.logits(PROMPT, text)
    assert together.argmax(-1).tolist() == text
    torch.testing.assert_close(session.logits(PROMPT, text, together=False), together, atol=1e-4, rtol=0)
    drafted = session.logits(PROMPT, text, draft=parse_draft("layers:1"))
    assert drafted.shape == together.shape
    assert not torch.allclose(drafted, together)
