import subprocess
import sys

from specdec_cli.registry.models import REGISTRY, find, suggest


def test_every_entry_is_pinned_and_goes_by_its_own_name():
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert len(entry.gguf_sha256) == 64
        assert len({part.wheel for part in entry.parts}) == len(entry.parts)
        for part in entry.parts:
            assert "==" in part.wheel
            assert len(part.wheel_sha256) == 64
            assert part.wheel_file.startswith(part.wheel.split("==")[0].replace("-", "_"))


def test_the_default_target_is_found_by_name():
    entry = find("smollm2-135m")
    assert entry is not None
    assert entry.default_draft == "ngram+smollm2-head"
    assert entry.licence == "Apache-2.0"


def test_an_unknown_name_is_not_found():
    assert find("smollm2") is None


def test_a_misspelt_name_gets_the_nearest_as_a_suggestion():
    assert suggest("smolm2-135m") == "smollm2-135m"
    assert suggest("HuggingFaceTB/SmolLM2-135M-Instruct") == "smollm2-135m"


def test_a_name_unlike_any_gets_no_suggestion():
    assert suggest("gpt2") is None


def test_listing_and_fetching_need_neither_torch_nor_transformers():
    code = (
        "import sys, specdec_cli.models.hub.wheels, specdec_cli.models.hub.resolve as r;"
        "r.describe();"
        "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
