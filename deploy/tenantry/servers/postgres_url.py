"""A PostgreSQL server's URL, turned into that of a role or into libpq's environment variables."""

from urllib.parse import parse_qsl, unquote, urlsplit

_OPTIONS = ("sslmode",)


def server_url(host: str, port: int, password: str) -> str:
    """The superuser's URL of a server that runs here."""
    return f"postgresql://postgres:{password}@{host}:{port}/postgres"


def role_url(superuser_url: str, role: str, password: str, database: str) -> str:
    """The same server as another role; options such as `sslmode` stay."""
    url = urlsplit(superuser_url)
    server = url.netloc.rpartition("@")[2]
    return url._replace(
        scheme="postgresql", netloc=f"{role}:{password}@{server}", path=f"/{database}"
    ).geturl()


def libpq_environment(superuser_url: str) -> dict[str, str]:
    """For psql: a URL on its command line would show the password to every user of the machine."""
    url = urlsplit(superuser_url)
    options = {
        f"PG{name.upper()}": value for name, value in parse_qsl(url.query) if name in _OPTIONS
    }
    return {
        "PGHOST": url.hostname or "127.0.0.1",
        "PGPORT": str(url.port or 5432),
        "PGUSER": unquote(url.username or "postgres"),
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": url.path.lstrip("/") or "postgres",
        **options,
    }
