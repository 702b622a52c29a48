"""TLS to PostgreSQL, NATS and Redis: the certificate of a server is verified, or nothing is sent.

Its chain, its name and its dates. Files are read again when they have changed, for the connections
that are made from then on. A URL carries their paths in the parameters that libpq has for them.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

CA, CERTIFICATE, KEY, MODE = "sslrootcert", "sslcert", "sslkey", "sslmode"
_SETTINGS = {CA: "ca", CERTIFICATE: "cert", KEY: "key"}
FILES = tuple(_SETTINGS)
_MODES = ("require", "verify-ca", "verify-full")
_SCHEMES = ("tls", "rediss")


class Tls:
    """The files of one server: its CAs, and our certificate with its key where it wants one."""

    def __init__(
        self, ca: str | None, certificate: str | None, key: str | None, *, checks_name: bool
    ) -> None:
        self._ca = ca
        self._certificate = certificate
        self._key = key
        self._checks_name = checks_name
        self._read: tuple[list[tuple[int, int]], ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """For the next connection. While files are replaced and do not fit, the last that did.

        Raises OSError if there were none.
        """
        try:
            versions = [_version(each) for each in self._files()]
            if self._read is None or self._read[0] != versions:
                self._read = versions, self._load()
        except OSError as error:
            if self._read is None:
                raise
            import structlog  # it brings much, and commands that start no process need none

            structlog.get_logger().warning("tls_files_unreadable", detail=str(error))
        return self._read[1]

    def _files(self) -> Iterator[str]:
        yield from filter(None, (self._ca, self._certificate, self._key))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca)
        context.check_hostname = self._checks_name
        if self._certificate is not None:
            context.load_cert_chain(self._certificate, self._key)
        return context


def _version(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - follows a link, as Kubernetes changes files
    return found.st_mtime_ns, found.st_ino


@cache
def _tls(ca: str | None, certificate: str | None, key: str | None, *, checks_name: bool) -> Tls:
    return Tls(ca, certificate, key, checks_name=checks_name)


def with_files(url: str, server: str, given: Mapping[str, Any]) -> str:
    """The URL with the files that verify its server, which `given` names as `<server>_ca_file`, and
    as `_cert_file` and `_key_file` where the server wants a certificate too. Any of them asks for
    TLS; without CAs of one's own, those of the system are trusted.

    Raises ValueError for files that do not fit.
    """
    settings = {name: f"{server}_{kind}_file" for name, kind in _SETTINGS.items()}
    if given.get(settings[KEY]) and not given.get(settings[CERTIFICATE]):
        raise ValueError(f"needs TENANTRY_{settings[CERTIFICATE].upper()} with its key")
    # Of several servers of a cluster the last one carries them for all.
    others, comma, last = url.rpartition(",") if server == "nats" else ("", "", url)
    last = add_files(last, {name: given.get(each) for name, each in settings.items()})
    try:
        if (wanted := tls_of(last)) is not None:
            wanted.context()
    except OSError as error:
        names = ", ".join(f"TENANTRY_{each.upper()}" for each in settings.values())
        raise ValueError(f"needs TLS, and its files cannot be used: {error} ({names})") from None
    return others + comma + last


def add_files(url: str, files: dict[str, str | None]) -> str:
    """The URL with the paths of `FILES` that are given; it asks for TLS then."""
    given = {name: path for name, path in files.items() if path}
    parts = _split(url)
    query = urlencode({**dict(parse_qsl(parts.query)), **given})
    return parts._replace(query=query).geturl() if given else url


def _split(url: str) -> SplitResult:
    """What is no URL stays as it is: whoever connects to it says what is wrong."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


def tls_of(url: str) -> Tls | None:
    """None for a URL that asks for no TLS: by its scheme, `sslmode`, or a file."""
    parts = _split(url)
    query = dict(parse_qsl(parts.query))
    mode = query.get(MODE)
    if parts.scheme not in _SCHEMES and mode not in _MODES and not query.keys() & set(FILES):
        return None
    files = (query.get(each) for each in FILES)
    return _tls(*files, checks_name=mode != "verify-ca")


def without_tls(url: str) -> str:
    """The URL without what `tls_of` reads of its parameters."""
    parts = _split(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in (*FILES, MODE)]
    return parts._replace(query=urlencode(query)).geturl()


def refusal_of(error: BaseException | None) -> str | None:
    """Why TLS was refused, in a word; None for an error that is none of TLS.

    Looks at what the error was raised from, too.
    """
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return _REFUSALS.get(error.verify_code, "certificate_invalid")
    return "certificate_not_accepted" if "ALERT" in (error.reason or "") else "no_tls"


def fix_of(error: BaseException, server: str, *, is_lost: bool = False) -> str | None:
    """What mends it, where `server` is DATABASE, NATS or REDIS.

    `is_lost`: the server has closed a connection of TLS. It closes when it does not accept our
    certificate, and its reason may come too late.
    """
    refusal = refusal_of(error) or ("certificate_not_accepted" if is_lost else None)
    return _FIXES[refusal].format(f"TENANTRY_{server}") if refusal else None


# By X509_V_ERR_* of OpenSSL.
_REFUSALS = {
    **dict.fromkeys((2, 18, 19, 20, 21), "certificate_of_unknown_ca"),
    **dict.fromkeys((62, 64), "certificate_of_another_name"),
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
}
_FIXES = {
    "certificate_of_unknown_ca": "Name the CA of the server's certificate by {}_CA_FILE.",
    "certificate_of_another_name": "Connect by a name that the server's certificate has, or issue "
    "one for the name in {}_URL.",
    "certificate_not_yet_valid": "Set the clocks: the server's certificate begins later.",
    "certificate_expired": "Renew the server's certificate, or that of its CA in {}_CA_FILE.",
    "certificate_invalid": "Issue another certificate for the server.",
    "certificate_not_accepted": "Name a certificate that the server accepts by {0}_CERT_FILE, and "
    "its key by {0}_KEY_FILE.",
    "no_tls": "Check that the server speaks TLS at this port.",
}
