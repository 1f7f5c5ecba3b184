"""The plan says what a run takes before it is loaded, and refuses what does not fit, with what to change."""

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import NO_ROOM, ResourceError
from specdec_cli.models.hf.checkpoint import read_config
from specdec_cli.models.offload import memory_plan as plan_module
from specdec_cli.models.offload.memory_plan import Limits, Workload, make_plan, program_bytes, row_bytes
from specdec_cli.models.offload.skeleton import Skeleton

LAYERS = 6
CPU = torch.device("cpu")
WORK = Workload(tokens=16, tree=8, prefill_chunk=512)


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory):
    folder = tiny.folder(tmp_path_factory.mktemp("plan") / "target", num_hidden_layers=LAYERS, hidden_size=64)
    return Skeleton(folder, read_config(folder), torch.float32, False)


@pytest.fixture(autouse=True)
def program(monkeypatch):
    monkeypatch.setattr(plan_module, "program_bytes", lambda: 1000)


def plan_for(skeleton, resident):
    return make_plan(skeleton, WORK, Limits(1 << 40, resident), CPU)


def test_weights_and_passes_are_what_the_checkpoint_holds(skeleton):
    plan = plan_for(skeleton, 2)
    assert plan.weights == sum(weight.numel() for weight in skeleton.model.parameters()) * 4
    layer = sum(weight.numel() for weight in skeleton.layers[0].parameters()) * 4
    assert plan.parts[f"layers that stay (2 of {LAYERS})"] == 2 * layer
    assert 4 * layer <= plan.pass_bytes <= 4 * (layer + 3 * 4096)  # whole blocks are read
    assert plan.total == sum(plan.parts.values())


def test_a_limit_gets_as_many_layers_as_fit_and_no_more(skeleton):
    totals = [plan_for(skeleton, count).total for count in range(LAYERS + 1)]
    assert totals[3] > totals[2] > totals[1] > totals[0]
    for limit in (total + more for total in totals for more in (-1, 0, 1)):
        fitting = [count for count, total in enumerate(totals) if total <= limit]
        if fitting:
            assert make_plan(skeleton, WORK, Limits(limit, None), CPU).resident == max(fitting)


def test_what_cannot_fit_is_refused_with_exit_code_4_and_the_way_out(skeleton):
    least = plan_for(skeleton, 0).total
    with pytest.raises(ResourceError, match=r"needs .* MiB and may take .*: .*workspace") as refused:
        make_plan(skeleton, Workload(16, 100, 512), Limits(least // 2, None), CPU)
    assert refused.value.exit_code == NO_ROOM
    assert "--memory-limit" in refused.value.hint
    assert "smaller --max-budget" in refused.value.hint


def test_more_resident_layers_than_fit_are_refused(skeleton):
    limit = plan_for(skeleton, 1).total
    with pytest.raises(ResourceError) as refused:
        make_plan(skeleton, WORK, Limits(limit, LAYERS), CPU)
    assert f"--resident-layers below {LAYERS}" in refused.value.hint


def test_a_draft_made_from_the_target_counts_with_its_cache(skeleton):
    config = skeleton.model.config
    without = plan_for(skeleton, 1)
    drafted = make_plan(
        skeleton, Workload(16, 8, 512, draft_config=config, self_draft="int4"), Limits(1 << 40, 1), CPU
    )
    assert drafted.parts["draft"] > 0
    assert without.parts["draft"] == 0
    assert drafted.parts["caches"] == 2 * without.parts["caches"]


def test_a_row_of_the_cache_is_counted_as_it_is_kept():
    layers, keys_and_values, heads, size, bytes_of_one = 2, 2, 2, 8, 2
    row = row_bytes(tiny.model("Llama").config, torch.bfloat16)
    assert row == layers * keys_and_values * heads * size * bytes_of_one


def test_the_program_itself_counts():
    assert program_bytes() > 10 << 20
