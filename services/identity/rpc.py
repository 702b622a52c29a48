"""Which call is answered by which function: the table of identity."""

from chassis.boundary import Routes
from contracts import organizations as calls

from identity import organizations

ROUTES = Routes(
    reads={
        calls.GET_ORGANIZATION: organizations.find,
        calls.LIST_ORGANIZATIONS: organizations.find_all,
    },
    writes={
        calls.CREATE_ORGANIZATION: organizations.create,
        calls.UPDATE_ORGANIZATION: organizations.change,
        calls.DELETE_ORGANIZATION: organizations.remove,
    },
    single={calls.CREATE_ORGANIZATION: lambda new: new.owner_id is None},
)
