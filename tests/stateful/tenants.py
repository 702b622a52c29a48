"""Sections 2 and 3 of the contract: tenants and their projects."""

from stateful.model import OPERATOR, Account, ApiError, Expected, Ids, Operations, Request, Row
from stateful.resources import Resource
from stateful.values import new_id


class Tenants(Resource):
    """The operator has the rows; the events are the tenant's own, whoever the caller is."""

    path, prefix = "/v1/admin/tenants", "ten"
    defaults = {"status": "active", "quotas": {}}
    unique = ("slug",)
    status_actions = {"suspended": "suspended", "active": "resumed"}
    preview = {"projects": 0, "api_keys": 1}

    def operations(self) -> Operations:
        return super().operations() | {"GET /v1/admin/tenant": self.get_own}

    def rows(self, request: Request) -> dict[Ids, Row]:
        return request.model.tenants

    def find(self, request: Request) -> Row:
        """To a tenant there is no other; its status and slug are the operator's."""
        if request.caller not in (OPERATOR, *request.ids):
            raise ApiError(404, "not_found")
        if request.caller != OPERATOR and request.body.keys() & {"status", "slug"}:
            raise ApiError(403, "insufficient_scope")
        request.account = request.model.operator
        row = super().find(request)
        request.account = request.model.accounts[row["id"]]
        return row

    def create(self, request: Request) -> Expected:
        """With its first key."""
        row, key = self.new_row(request, request.body), request.response_body["api_key"]
        row = self.with_server_fields(request, row, request.response_body["tenant"])
        assert key["scopes"] == ["*"]
        request.account = Account(key["secret"], ("api_key", new_id("key", key["id"])))
        request.model.accounts[row["id"]] = request.account
        self.add(request, (row["id"],), row)
        request.record_event("api_key.created", key["id"])
        return Expected(201, {"tenant": row, "api_key": key}, created_id=row["id"])

    def get_own(self, request: Request) -> Expected:
        key = {"id": request.actor[1], "type": "api_key", "scopes": ["*"], "expires_at": None}
        root_keys = request.response_body["root_keys"]
        assert [each["id"] for each in root_keys] == [key["id"]]
        tenant = self.rows(request)[str(request.caller),]
        return Expected(body={"tenant": tenant, "credential": key, "root_keys": root_keys})


class Projects(Resource):
    path, prefix = "/v1/admin/projects", "prj"
    defaults = {
        "settings": {
            "access_token_ttl": 900,
            "refresh_token_ttl": 604_800,
            "session_idle_timeout": 604_800,
            "allow_sign_up": True,
            "mfa": "optional",
            "signing_algorithm": "EdDSA",
            "signing_key_grace_period": 86_400,
        }
    }
    unique = ("slug",)
    preview = {"api_keys": 0, "signing_keys": 2}


OPERATIONS = Tenants().operations() | Projects().operations()
