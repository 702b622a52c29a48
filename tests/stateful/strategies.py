"""The values that requests are made of: few of each, so that they meet again."""

from typing import Any

from hypothesis import strategies as st

Values = dict[str, list[Any]]
Strategy = st.SearchStrategy[dict[str, Any]]

NAMES = ["Acme", "acme b", "  Zoe\u0301 & Sons ", "Zo\u00e9 & Sons", "\u682a\u5f0f\u4f1a\u793e"]
NAMES += ["\u00c9COLE 42", "n" * 80]
SLUGS = ["acme", "b", "zoe-sons", "ecole-42"]
EMAILS = ["ada@example.com", "bob@example.com", "cy@example.net", " eve@EXAMPLE.org "]
EMAILS += ["Eve@example.org", "zo\u00eb@example.com", "ZO\u00cb@example.com", "ADA@Example.com"]
ROLES = ["member", "owner", "owner", "admin", "billing_2"]
PERMISSIONS = [[], ["billing:read"], ["reports:read", "billing:write"]]
METADATA: list[Any] = [{}, {"plan": "pro"}, {"plan": "free", "seats": 1}, {"seats": 1}]
METADATA += [{"seats": True, "plan": None}, {"deep": {"er": [1, {"x": None}], "e\u0301": "\u00df"}}]
METADATA += [{"deep": {"er": None}}, {"deep": {"more": 2.5}}]
FIELDS: dict[str, Values] = {
    "tenants": {"name": ["", "acme", "b"], "slug": ["b", "one"], "settings": METADATA},
    "projects": {
        "name": NAMES,
        "slug": SLUGS,
        "environment": ["development", "staging", "production"],
        "allowed_origins": [[], ["https://a.example", "https://*.b.example"]],
        "allowed_redirects": [[], ["https://a.example/back", "com.acme.app:/back"]],
        "settings": [{}, {"mfa": "required"}, {"access_token_ttl": 60, "allow_sign_up": False}],
        "metadata": METADATA,
    },
    "users": {
        "email": EMAILS,
        "email_verified": [False, True],
        "username": [None, "ada", "Ada", "zo\u00eb-1"],
        "name": [None, *NAMES],
        "external_id": [None, "x1", "X1"],
        "status": ["active", "suspended"],
        "metadata": METADATA,
    },
    "organizations": {
        "name": NAMES,
        "slug": SLUGS,
        "max_members": [None, 1, 2, 3],
        "logo_url": [None, "https://cdn.example.com/a.svg"],
        "settings": METADATA,
        "metadata": METADATA,
    },
    "members": {"role": ROLES, "permissions": PERMISSIONS},
    "invitations": {
        "email": EMAILS,
        "role": ROLES,
        "permissions": PERMISSIONS,
        "email_verified": [False, True],
        "expires_in": [604_800, 3600, 2_592_000],
    },
}
"""Where a field may be left out, the first value is its default."""
REQUIRED = {"users": "email", "members": "user_id", "invitations": "email"}
"""Of all others, the name."""
NULLS = [{"mfa": None}, {"access_token_ttl": None}]
UPDATES: dict[str, Values] = {
    "tenants": FIELDS["tenants"] | {"status": ["active", "suspended", "active"]},
    "projects": FIELDS["projects"] | {"settings": FIELDS["projects"]["settings"] + NULLS},
    **{resource: FIELDS[resource] for resource in ("users", "organizations", "members")},
}
DRY_RUN: Values = {"dry_run": ["true", "false"]}
DELETE_QUERIES = {"tenants": DRY_RUN, "projects": DRY_RUN, "organizations": DRY_RUN}
DELETE_QUERIES["users"] = DRY_RUN | {"force": ["true", "false"]}

SEARCHES = ["a", "zo", "ADA", "example", "\u00c9", "co", "\u00e9 &", "42", "x1", "ame%", "_", "m"]
BY_NAME = ["name", "-name", "created_at", "-created_at"]
LIMITS = ["1", "2", "3", "200"]
LIST_QUERIES: dict[str, Values] = {
    "tenants": {"status": ["active", "suspended"], "sort": BY_NAME},
    "projects": {"q": SEARCHES, "environment": ["staging", "development"], "sort": BY_NAME},
    "users": {
        "q": SEARCHES,
        "status": ["active", "suspended"],
        "email": ["ADA@example.COM", "zo\u00cb@example.com", "nobody"],
        "external_id": ["x1", "X1"],
        "sort": ["email", "-email", "last_sign_in_at", "-last_sign_in_at", "created_at"],
    },
    "organizations": {"q": SEARCHES, "sort": BY_NAME},
    "members": {"q": SEARCHES, "role": ROLES},
    "invitations": {"status": ["pending", "accepted", "revoked", "expired"]},
}
INVALID: list[tuple[str, str, Any, dict[str, str], str]] = [
    ("POST", "users", {}, {}, "email"),
    ("POST", "users", {"email": "nobody"}, {}, "email"),
    ("POST", "users", {"email": "a@example.com", "id": "usr_1"}, {}, "id"),
    ("POST", "users", {"email": "a@example.com", "status": "gone"}, {}, "status"),
    ("POST", "projects", {"name": ""}, {}, "name"),
    ("POST", "projects", {"name": "A", "slug": "a--b"}, {}, "slug"),
    ("POST", "projects", {"name": "A", "settings": {"ttl": 1}}, {}, "settings.ttl"),
    ("POST", "organizations", {"name": "A", "max_members": 0}, {}, "max_members"),
    ("POST", "organizations", {"name": "A", "metadata": []}, {}, "metadata"),
    ("GET", "users", None, {"sort": "name"}, "sort"),
    ("GET", "users", None, {"page": "0"}, "page"),
    ("GET", "projects", None, {"limit": "201"}, "limit"),
    ("GET", "organizations", None, {"role": "owner"}, "role"),
    ("GET", "organizations", None, {"cursor": "made-up"}, "cursor"),
]
"""Each with the field that is wrong."""


def mostly(usual: list[Any], strange: list[Any]) -> list[Any]:
    """To sample from. The usual values stand at both ends, which are drawn the most."""
    often = usual * (1 + 5 * len(strange) // len(usual)) if usual else []
    return [*often, *strange, *often]


def json_objects(optional: Values, required: Values | None = None) -> Strategy:
    """The required fields and any of the others."""
    return st.fixed_dictionaries(
        {name: st.sampled_from(values) for name, values in (required or {}).items()},
        optional={name: st.sampled_from(values) for name, values in optional.items()},
    )


def create_bodies(resource: str, user_ids: list[str]) -> Strategy:
    """`user_ids` are those that a body may name."""
    users = {"organizations": {"owner_id": user_ids}, "members": {"user_id": user_ids}}
    fields = FIELDS[resource] | users.get(resource, {})
    required = REQUIRED.get(resource, "name")
    return json_objects(fields, {required: fields.pop(required)})


def list_queries(resource: str, related: Values) -> Strategy:
    """At most two filters, as more rarely let a row through; `sort` is one."""
    values = LIST_QUERIES[resource] | {name: each for name, each in related.items() if each}
    page: Values = {"page": ["1", "2", "9"]}

    def query(names: list[str]) -> Strategy:
        return json_objects(page, {name: values[name] for name in names} | {"limit": LIMITS})

    return st.lists(st.sampled_from(sorted(values)), max_size=2, unique=True).flatmap(query)


STRANGE = ["operator", "another tenant", "unknown id", "malformed id"]
ACCESS = st.sampled_from(mostly(["usual", "tenant"], STRANGE))
"""Whose credential a request has, and which object it names instead."""
KEYS = [{"idempotency_key": key} for key in "abc"]
TAGS = [{"if_match": tags} for tags in ('"1"', '"2"', '"3"', "*", '"999"', '"999", "1", "2"')]
HEADERS = st.sampled_from([*[{}] * 30, *KEYS, *TAGS, KEYS[0] | TAGS[0]])
"""Keys are few, so that other requests have them too; versions are low."""
