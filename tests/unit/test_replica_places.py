"""Whether a replica has what its primary had: places of one log are compared, of two never."""

import pytest
from chassis.replica import NotAReplica, Place, has_replayed
from chassis.settings import ServiceSettings
from chassis.tls import tls_of
from pydantic import ValidationError
from support.certificates import Authority


@pytest.mark.parametrize(("replayed", "has_all"), [(99, False), (100, True), (101, True)])
def test_a_replica_has_what_it_has_replayed(replayed: int, has_all: bool) -> None:
    assert has_replayed(Place(replayed, 1), Place(100, 1)) is has_all


def test_a_standby_of_another_primary_is_no_replica() -> None:
    with pytest.raises(NotAReplica, match="another primary"):
        has_replayed(Place(101, 2), Place(100, 1))


def test_the_replica_has_the_certificates_of_the_database(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ca = Authority(tmp_path_factory.mktemp("ca"), "one").certificate
    settings = _settings(replica_url="postgresql://a:b@h2/d", database_ca_file=str(ca))
    assert tls_of(settings.replica_url or "") is tls_of(settings.database_url) is not None


def test_a_bound_of_no_time_is_refused() -> None:
    with pytest.raises(ValidationError, match="replica_max_lag_seconds"):
        _settings(replica_max_lag_seconds=0)


def _settings(**given: object) -> ServiceSettings:
    keys = "1:" + "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
    return ServiceSettings.model_validate(
        {
            "database_url": "postgresql://a:b@h/d",
            "hash_keys": keys,
            "encryption_keys": keys,
            **given,
        }
    )
