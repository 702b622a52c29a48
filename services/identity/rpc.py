"""Which call is answered by which function: the table of identity."""

from chassis.boundary import Routes
from contracts import organizations as calls
from contracts import users as user_calls

from identity import invitations, members, organizations, sessions, users

ROUTES = Routes(
    reads={
        user_calls.GET_USER: users.find,
        user_calls.LIST_USERS: users.find_all,
        calls.GET_ORGANIZATION: organizations.find,
        calls.LIST_ORGANIZATIONS: organizations.find_all,
        calls.LIST_MEMBERS: members.find_all,
        calls.LIST_INVITATIONS: invitations.find_all,
    },
    writes={
        user_calls.CREATE_USER: users.create,
        user_calls.UPDATE_USER: users.change,
        user_calls.DELETE_USER: users.remove,
        user_calls.REVOKE_SESSIONS: sessions.remove_all,
        user_calls.REVOKE_SESSION: sessions.remove,
        calls.CREATE_ORGANIZATION: organizations.create,
        calls.UPDATE_ORGANIZATION: organizations.change,
        calls.DELETE_ORGANIZATION: organizations.remove,
        calls.ADD_MEMBER: members.add,
        calls.UPDATE_MEMBER: members.change,
        calls.REMOVE_MEMBER: members.remove,
        calls.CREATE_INVITATION: invitations.create,
        calls.REVOKE_INVITATION: invitations.revoke,
        calls.RESEND_INVITATION: invitations.resend,
        calls.ACCEPT_INVITATION: invitations.accept,
    },
    single={
        calls.CREATE_ORGANIZATION: lambda new: new.owner_id is None,
        user_calls.CREATE_USER: lambda _: True,
    },
)
