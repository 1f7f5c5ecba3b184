"""What writers of weights say of a full disk, each in its own way, is told in one."""

import errno

import pytest
from safetensors import SafetensorError

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.hub.disk import writing

HINT = "Free some space."
FULL, DENIED = "No space left on device", "Permission denied"
SAID = {
    "safetensors, full": (SafetensorError(f"Error: {FULL} (os error {errno.ENOSPC})"), ResourceError, FULL),
    "safetensors, denied": (SafetensorError(f"Error: x (os error {errno.EACCES})"), SpecdecError, DENIED),
    "the system, full": (OSError(errno.ENOSPC, "x"), ResourceError, FULL),
    "the system, denied": (OSError(errno.EACCES, "x"), SpecdecError, DENIED),
    "torch, which gives no reason": (
        RuntimeError("unexpected pos 64\nmore"),
        ResourceError,
        "unexpected pos 64",
    ),
}


@pytest.mark.parametrize("writer", SAID)
def test_a_failure_to_write_is_told_with_what_the_writer_says(writer):
    raised, kind, reason = SAID[writer]
    with pytest.raises(SpecdecError) as caught, writing("The draft", HINT):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.problem == f"The draft could not be written: {reason}."
    assert (caught.value.hint == HINT) == (kind is ResourceError)


def test_an_error_of_our_own_comes_through():
    with pytest.raises(SpecdecError) as caught, writing("The draft"):
        raise SpecdecError("too large", HINT)
    assert caught.value.problem == "too large"
