"""Which call is answered by which function: the table of projects."""

from chassis.unit_of_work import Routes
from contracts import api_keys as key_calls
from contracts import projects as project_calls
from contracts import signing_keys as signing_calls
from contracts import tenants as calls

from projects import (
    api_keys,
    credentials,
    key_set,
    projects,
    root_keys,
    session_tokens,
    signing_keys,
    tenants,
    tokens,
)

ROUTES = Routes(
    reads={
        calls.LIST_TENANTS: tenants.find_all,
        calls.GET_TENANT: tenants.find,
        calls.WHO_AM_I: tenants.who_am_i,
        calls.LIST_ROOT_KEYS: root_keys.find_all,
        calls.FIND_CREDENTIAL: credentials.find,
        calls.ISSUE_TOKEN: tokens.issue,
        calls.TOKEN_KEYS: tokens.public_keys,
        project_calls.LIST_PROJECTS: projects.find_all,
        project_calls.GET_PROJECT: projects.find,
        key_calls.LIST_API_KEYS: api_keys.find_all,
        key_calls.VERIFY_API_KEY: credentials.verify,
        signing_calls.LIST_SIGNING_KEYS: signing_keys.find_all,
        signing_calls.GET_JWKS: key_set.jwks,
        signing_calls.SIGN_TOKEN: session_tokens.sign,
    },
    writes={
        calls.CREATE_TENANT: tenants.create,
        calls.UPDATE_TENANT: tenants.change,
        calls.DELETE_TENANT: tenants.remove,
        calls.CREATE_ROOT_KEY: root_keys.create,
        calls.REVOKE_ROOT_KEY: root_keys.revoke,
        calls.RECORD_REFUSAL: credentials.record_refusal,
        calls.RECORD_USE: credentials.record_use,
        project_calls.CREATE_PROJECT: projects.create,
        project_calls.UPDATE_PROJECT: projects.change,
        project_calls.DELETE_PROJECT: projects.remove,
        key_calls.CREATE_API_KEY: api_keys.create,
        key_calls.REVOKE_API_KEY: api_keys.revoke,
        key_calls.ROTATE_API_KEY: api_keys.rotate,
        signing_calls.ROTATE_SIGNING_KEY: signing_keys.rotate,
        signing_calls.REVOKE_SIGNING_KEY: signing_keys.revoke,
    },
    single={calls.RECORD_REFUSAL: lambda _: True, calls.RECORD_USE: lambda _: True},
)
