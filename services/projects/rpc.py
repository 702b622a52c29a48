"""The calls that projects answers, and the function that handles each."""

from chassis.unit_of_work import Handler
from contracts import api_keys as key_calls
from contracts import operator_calls
from contracts import overview as overview_calls
from contracts import projects as project_calls
from contracts import search as search_calls
from contracts import signing_keys as signing_calls
from contracts import tenants as calls
from contracts.calls import Call

from projects import overview, projects, search, tenant_deletion, tenants
from projects.keys import api_keys, credentials, key_usage, root_keys
from projects.signing import jwks, signing_keys
from projects.tokens import access_tokens, operator_tokens, session_tokens, token_keys

HANDLERS: dict[Call, Handler] = {
    calls.CREATE_TENANT: tenants.create_tenant,
    calls.LIST_TENANTS: tenants.list_tenants,
    calls.GET_TENANT: tenants.get_tenant,
    calls.UPDATE_TENANT: tenants.update_tenant,
    calls.DELETE_TENANT: tenants.delete_tenant,
    calls.WHO_AM_I: tenants.who_am_i,
    calls.CREATE_ROOT_KEY: root_keys.create_root_key,
    calls.LIST_ROOT_KEYS: root_keys.list_root_keys,
    calls.REVOKE_ROOT_KEY: root_keys.revoke_root_key,
    operator_calls.ISSUE_OPERATOR_TOKEN: operator_tokens.issue_operator_token,
    operator_calls.GET_TENANT_DELETION: tenant_deletion.get_tenant_deletion,
    calls.FIND_CREDENTIAL: credentials.find_credential,
    calls.RECORD_REFUSAL: key_usage.record_refusal,
    calls.RECORD_USE: key_usage.record_use,
    calls.ISSUE_TOKEN: access_tokens.issue_token,
    calls.TOKEN_KEYS: token_keys.get_token_keys,
    project_calls.CREATE_PROJECT: projects.create_project,
    project_calls.LIST_PROJECTS: projects.list_projects,
    project_calls.GET_PROJECT: projects.get_project,
    project_calls.UPDATE_PROJECT: projects.update_project,
    project_calls.DELETE_PROJECT: projects.delete_project,
    key_calls.CREATE_API_KEY: api_keys.create_api_key,
    key_calls.LIST_API_KEYS: api_keys.list_api_keys,
    key_calls.REVOKE_API_KEY: api_keys.revoke_api_key,
    key_calls.ROTATE_API_KEY: api_keys.rotate_api_key,
    key_calls.VERIFY_API_KEY: credentials.verify_api_key,
    signing_calls.LIST_SIGNING_KEYS: signing_keys.list_signing_keys,
    signing_calls.ROTATE_SIGNING_KEY: signing_keys.rotate_signing_key,
    signing_calls.REVOKE_SIGNING_KEY: signing_keys.revoke_signing_key,
    signing_calls.GET_JWKS: jwks.get_jwks,
    signing_calls.SIGN_TOKEN: session_tokens.sign_token,
    overview_calls.GET_PROJECTS_OVERVIEW: overview.get_projects_overview,
    overview_calls.GET_TENANTS_OVERVIEW: overview.get_tenants_overview,
    search_calls.SEARCH_PROJECTS: search.search_projects,
    search_calls.SEARCH_API_KEYS: search.search_api_keys,
    search_calls.SEARCH_SIGNING_KEYS: search.search_signing_keys,
    search_calls.SEARCH_TENANTS: search.search_tenants,
}
