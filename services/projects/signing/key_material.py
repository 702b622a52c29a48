"""Signing keys as such: generated, loaded again, published as JWK (RFC 7517). Pure.

Ed25519 (RFC 8037), P-256 and RSA of 2048 bits (RFC 7518).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.encryption import SecretId
from contracts.signing_keys import Algorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A new key: `private` is PKCS #8 in DER, `public` the public members of its JWK."""

    private: bytes
    public: dict[str, Any]


def generate(algorithm: Algorithm) -> KeyMaterial:
    """A key for `algorithm`. RSA costs 50-200 ms of CPU."""
    key: PrivateKey
    if algorithm == "EdDSA":
        key = Ed25519PrivateKey.generate()
    elif algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _material(key)


def from_seed(seed: bytes) -> KeyMaterial:
    """The key for EdDSA that 32 bytes are the seed of."""
    return _material(Ed25519PrivateKey.from_private_bytes(seed))


def _material(key: PrivateKey) -> KeyMaterial:
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return KeyMaterial(private, _public_members(key))


def _public_members(key: PrivateKey) -> dict[str, Any]:
    members: Mapping[str, Any]
    if isinstance(key, Ed25519PrivateKey):
        members = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        members = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        members = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in members.items() if name != "key_ops"}


def load(private: bytes) -> PrivateKey:
    """The key from PKCS #8 in DER, one of `generate`. To prove an RSA key right took 40 ms."""
    return load_der_private_key(  # type: ignore[return-value]
        private, password=None, unsafe_skip_rsa_key_validation=True
    )


def to_jwk(public: Mapping[str, Any], kid: str, algorithm: str) -> dict[str, Any]:
    """A public key as a member of a JSON Web Key Set."""
    return {**public, "kid": kid, "alg": algorithm, "use": "sig"}


def secret_id(tenant_id: str, kid: str) -> SecretId:
    """A private key decrypts as that key alone."""
    return SecretId("signing_key", tenant_id, kid)
