"""Names that users give to files: what is a name, and what a path or unreadable."""

import pytest

from specdec_cli.errors import InputError
from specdec_cli.storage.names import LONGEST, require_file_name

BAD_NAMES = (
    "",
    " ",
    ".",
    "..",
    "../../x",
    "a/b",
    "/etc/x",
    "a\\b",
    "c:x",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "é" * LONGEST,
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_a_path_or_unreadable_is_refused(name):
    with pytest.raises(InputError, match="--exp-name"):
        require_file_name(name, "--exp-name")


@pytest.mark.parametrize("name", ["first-run", "v1.2", ".hidden", "中文 é", "x" * LONGEST])
def test_other_names_are_names(name):
    assert require_file_name(name, "--exp-name") == name
