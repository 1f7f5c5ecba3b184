import pytest
import tiny_checkpoints as tiny

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hf.tokenizer import Tokenizer, read_tokenizer


@pytest.mark.parametrize("text", ["plain", "two  spaces , and one .", "don't ' t", "héllo 你好\n", ""])
def test_decoding_gives_back_what_was_encoded(text):
    tokenizer = Tokenizer(tiny.tokenizer())
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_opening_token_is_added_where_the_tokenizer_adds_it():
    assert Tokenizer(tiny.tokenizer(adds="<s> $A")).encode("a")[0] == 0
    assert 0 not in Tokenizer(tiny.tokenizer()).encode("a")


def test_a_closing_token_is_not_added_to_text_that_is_to_be_continued():
    plain = Tokenizer(tiny.tokenizer()).encode("a")
    assert Tokenizer(tiny.tokenizer(adds="<s> $A </s>")).encode("a") == [0, *plain]


def test_a_closing_token_that_the_text_itself_ends_with_stays():
    assert Tokenizer(tiny.tokenizer()).encode("a</s>")[-1] == 1


def test_special_tokens_are_shown_only_on_request():
    tokenizer = Tokenizer(tiny.tokenizer())
    tokens = [0, *tokenizer.encode("a"), 1]
    assert tokenizer.decode(tokens) == "a"
    assert tokenizer.decode(tokens, skip_special=False) == "<s>a</s>"


def test_a_chat_ends_where_the_answer_starts():
    tokenizer = Tokenizer(tiny.tokenizer())
    tokens = tokenizer.encode_chat([{"role": "user", "content": "hi"}])
    assert tokenizer.decode(tokens) == "user:hi|assistant:"


def test_a_chat_without_a_template_points_at_raw():
    tokenizer = Tokenizer(tiny.tokenizer(template=None))
    assert not tokenizer.has_chat_template
    with pytest.raises(InputError, match="no chat template") as caught:
        tokenizer.encode_chat([{"role": "user", "content": "hi"}])
    assert "--raw" in caught.value.hint


def test_a_template_that_refuses_a_role_is_the_users_error():
    tokenizer = Tokenizer(tiny.tokenizer(template="{{ raise_exception('System role not supported') }}"))
    with pytest.raises(InputError, match="System role not supported"):
        tokenizer.encode_chat([{"role": "system", "content": "hi"}])


def test_the_vocabulary_has_every_token_and_the_stop_token_is_one_of_them():
    tokenizer = Tokenizer(tiny.tokenizer())
    assert tokenizer.vocabulary() == {word: token for token, word in enumerate(tiny.WORDS)}
    assert tokenizer.size == len(tiny.WORDS)
    assert tokenizer.stop_tokens == {tokenizer.vocabulary()["</s>"]}
    assert tokenizer.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}


def test_a_folder_with_no_tokenizer_or_a_broken_one_is_an_error(tmp_path):
    folder = tiny.folder(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(SpecdecError, match="no usable tokenizer"):
        read_tokenizer(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(SpecdecError, match="no usable tokenizer"):
        read_tokenizer(folder)
