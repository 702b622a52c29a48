"""Moves with projects."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from support.moves.choosing import METADATA, NAMES, PATCHES, SLUGS, Moves, some

PROJECTS = "/v1/admin/projects"
SETTINGS: list[dict[str, Any]] = [
    {},
    {"mfa": "required"},
    {"access_token_ttl": 60, "allow_sign_up": False},
]
MORE = {
    "environment": ["development", "staging", "production"],
    "allowed_origins": [[], ["https://a.example", "https://*.b.example"]],
    "allowed_redirects": [[], ["https://a.example/back", "com.acme.app:/back"]],
}


class ProjectMoves(Moves):
    @rule(
        data=st.data(),
        body=some(
            {"name": NAMES}, {**MORE, "slug": SLUGS, "settings": SETTINGS, "metadata": METADATA}
        ),
    )
    def create_project(self, data: st.DataObject, body: dict[str, Any]) -> None:
        caller = self.caller(data)
        self.ask(caller, "POST", PROJECTS, body, **self.headers(data, "POST", PROJECTS))

    def project(self, data: st.DataObject) -> tuple[str, str, dict[str, Any] | None]:
        """A tenant, the path of one of its projects, and the project."""
        caller = self.caller(data)
        own = self.tenant(caller).projects
        project_id = self.an_id(data, caller, "prj", own)
        return caller, f"{PROJECTS}/{project_id}", own.get(project_id)

    @rule(
        data=st.data(),
        patch=some(
            {},
            {
                **MORE,
                "name": NAMES,
                "slug": SLUGS,
                "settings": [*SETTINGS, {"mfa": None}, {"access_token_ttl": None}],
                "metadata": PATCHES,
            },
        ),
    )
    def update_project(self, data: st.DataObject, patch: dict[str, Any]) -> None:
        caller, path, shown = self.project(data)
        self.ask(caller, "PATCH", path, patch, **self.headers(data, "PATCH", path, shown))
        self.ask(caller, "GET", path)

    @rule(data=st.data(), query=some({}, {"dry_run": ["true", "false"]}))
    def delete_project(self, data: st.DataObject, query: dict[str, str]) -> None:
        caller, path, shown = self.project(data)
        headers = self.headers(data, "DELETE", path, shown)
        self.ask(caller, "DELETE", path, None, query, **headers)
