"""Folders in tables go by the last part of their path, and two of them are never one."""

import pytest

from specdec_cli.reporting.model_names import short_configurations, short_name, short_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/models/small", "/models/large"], ["small", "large"]),
        (["/m/a/small", "/m/b/small"], ["a/small", "b/small"]),
        (["/m/a/x/small", "/m/b/x/small", "/c/large"], ["a/x/small", "b/x/small", "large"]),
        (["/a/small", "/b/small"], ["/a/small", "/b/small"]),
        (["/a/small/", "/a/small"], ["/a/small/", "/a/small"]),
        (["/small", "/m/a/small"], ["/small", "small"]),
        (["small", "/m/a/small"], ["small", "a/small"]),
        (["./small", "../small"], ["./small", "small"]),
        (["~/small"], ["small"]),
        (["owner/model", "layers:8", "ngram", "self:int4", "smollm2-135m"], None),
        (["files/weights.gguf", "/x/other.GGUF"], ["weights.gguf", "other.GGUF"]),
        (["/a/small", "/a/small"], ["small", "small"]),
        (["/", "..", ""], None),
        (["/" + "x" * 5000 + "/y", "owner/" + "x" * 5000], ["y", "owner/" + "x" * 5000]),
    ],
)
def test_paths_are_called_by_what_tells_them_apart(names, expected):
    found = short_names(names)
    assert [found[name] for name in names] == (names if expected is None else expected)


def test_a_relative_path_is_one_where_there_is_such_a_folder(tmp_path, monkeypatch):
    (tmp_path / "m" / "small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert short_name("m/small") == "small"
    assert short_name("owner/small") == "owner/small"


def test_configurations_keep_all_but_the_folders_of_their_models():
    names = [
        "autoregressive",
        "sps, draft /models/a/small, gamma 4",
        "sps, draft ngram+/models/b/small, gamma 4",
        "specexec, draft layers:8, tree [-1/2]",
        "transformers, assisted, draft /models/large one",
    ]
    assert list(short_configurations(names).values()) == [
        "autoregressive",
        "sps, draft a/small, gamma 4",
        "sps, draft ngram+b/small, gamma 4",
        "specexec, draft layers:8, tree [-1/2]",
        "transformers, assisted, draft large one",
    ]
