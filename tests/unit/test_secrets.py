"""The form of API keys."""

import pytest
from contracts.secrets import digest, is_secret, new_secret, shown_prefix


@pytest.mark.parametrize("kind", ["live", "test", "pub"])
def test_a_fresh_key_is_well_formed_and_shows_little(kind: str) -> None:
    secret = new_secret(kind)
    assert is_secret(secret)
    assert secret.startswith(f"tnt_{kind}_")
    assert len(shown_prefix(secret)) == len(f"tnt_{kind}_") + 4
    assert digest(secret) != secret


def test_a_mistyped_key_is_refused_without_a_look_up() -> None:
    secret = new_secret("live")
    for position in range(len("tnt_live_"), len(secret)):
        other = "a" if secret[position] != "a" else "b"
        assert not is_secret(secret[:position] + other + secret[position + 1 :])
    assert not is_secret(secret[:-1])
    assert not is_secret("")
    assert not is_secret(secret.replace("live", "root"))
