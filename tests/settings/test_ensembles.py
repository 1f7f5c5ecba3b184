"""Settings of ensembles: models, proposal lengths and weights."""

import pytest
from refused_settings import refusal

from specdec_cli.errors import InputError
from specdec_cli.settings import load_settings
from specdec_cli.settings.ensembles import weights_of


def test_the_first_of_the_models_is_the_target_and_one_gamma_is_the_first_proposers() -> None:
    given = {"method": "cd_chef", "models": "a, b", "gamma": "5"}
    resolved = load_settings(flags=given, environ={})
    settings = resolved.settings
    assert (settings.method, settings.target, settings.models) == ("cd-chef", "a", ("a", "b"))
    assert settings.gammas == (5,)
    assert resolved.origins["target"] == "the first model"
    assert load_settings(flags=given | {"gamma": "1:5"}, environ={}).settings.gammas == (1, 5)
    assert load_settings(flags=given | {"gamma": "1,5"}, environ={}).settings.gammas == (1, 5)
    assert load_settings("cd-llama3", flags={"gamma": "3"}, environ={}).settings.gammas == (3,)
    assert load_settings("cd-llama3", flags={}, environ={}).settings.gammas == (1, 5)
    assert "not the first" in refusal(method="we", models="a,b", target="b")


def test_weights_are_named_or_in_order_and_sum_to_one() -> None:
    named = load_settings(flags={"method": "we", "models": "a,b", "weights": "b=3,a=1"}, environ={}).settings
    ordered = load_settings(flags={"method": "we", "models": "a,b", "weights": "1,3"}, environ={}).settings
    assert weights_of(named) == weights_of(ordered) == (0.25, 0.75)


@pytest.mark.parametrize(("weights", "said"), [("a=1,a=2", "two weights"), ("b=3", "none for a")])
def test_weights_by_name_are_one_for_each_model(weights: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_settings(flags={"method": "we", "models": "a,b", "weights": weights}, environ={})
