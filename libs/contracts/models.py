"""The three kinds of model: what comes in a body, what comes in a query, what goes out."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from contracts.fields import DIGITS, Flag
from contracts.problems import MAX_ERRORS, invalid
from contracts.readable_text import WhenChanged

MAX_LIMIT = 200
"""The most rows of a page."""


class Body(BaseModel):
    """A JSON body. Strict: no unknown field, no number in a string."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """The fields that the caller wrote, `null` included: a merge patch (RFC 7396)."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def changed(self, stored: Any) -> dict[str, Any]:
        """The same; texts that differ from the stored ones are as new texts have to be.

        Raises Problem (422) otherwise.
        """
        found = self.given()
        for name, value in found.items():
            if value is not None and value != getattr(stored, name, None):
                for rule in type(self).model_fields[name].metadata:
                    if isinstance(rule, WhenChanged):
                        found[name] = _checked(name, value, rule)
        return found


def _checked(name: str, value: str, rule: WhenChanged) -> str:
    try:
        return rule.check(value)
    except PydanticCustomError as error:
        raise invalid(name, error.message(), error.type) from None


class Query(BaseModel):
    """The query string. No unknown parameter, none twice."""

    model_config = ConfigDict(extra="forbid")


class Resource(BaseModel):
    """Something that is answered."""

    model_config = ConfigDict(extra="forbid")


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def absent() -> Any:
    """The default of a member that may be absent: of a patch, whose `given()` leaves it out, or of
    an answer.
    """
    return Field(default=None, json_schema_extra=_without_default)


class ListQuery(Query):
    """Which part of a list: a page by number, or by the cursor of the page before."""

    page: Annotated[int, Field(ge=1), DIGITS] = 1
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), DIGITS] = 50
    cursor: Annotated[str, Field(max_length=2048)] | None = None


class DeleteQuery(Query):
    """`dry_run=true` answers what would go, and changes nothing."""

    dry_run: Flag = False


class Pagination(Resource):
    """Where in a list this page stands. `next_cursor` is null on the last page. Of a text
    search (`q`), and of combined filters that no counter covers, `total` is exact up to 1,000;
    beyond that it is 1000, and `total_exact` false.
    """

    page: int = Field(examples=[1])
    limit: int = Field(examples=[50])
    total: int = Field(examples=[1234])
    total_exact: bool = Field(examples=[True])
    next_cursor: str | None = Field(examples=[None])


class DeletionPreview(Resource):
    """What a deletion would take with it."""

    would_delete: dict[str, int] = Field(examples=[{"memberships": 3, "sessions": 2}])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:tenantry:problem:validation_failed"])
    title: str = Field(examples=["The request is not valid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["name: must have 1 to 255 characters"])
    code: str = Field(examples=["validation_failed"])
    request_id: str = Field(examples=["req_9f2c"])
    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    errors: list[dict[str, str]] | None = Field(
        default=None,
        max_length=MAX_ERRORS,
        examples=[
            [
                {
                    "field": "name",
                    "code": "invalid_length",
                    "message": "must have 1 to 255 characters",
                }
            ]
        ],
    )
    errors_omitted: int | None = Field(
        default=None, description="How many more faults there are.", examples=[3]
    )


Environment = Literal["development", "staging", "production"]
