"""What five files use of the inside of a library: a new version that changes it fails here.

`chassis/http_protocol.py` subclasses uvicorn's HTTP protocol, `chassis/http_server.py` its server;
`chassis/statements.py` reads the parameters of a statement that SQLAlchemy has compiled;
`chassis/broker.py` gives FastStream a connection; `chassis/nats_client.py` looks at headers before
nats-py reads them, and at what a server offers before nats-py tells it a password;
`chassis/redis_client.py` gives a connection its TLS. All else is used as documented.
"""

import inspect
import ssl

import pytest
from chassis.broker import Broker
from chassis.http_protocol import BoundedProtocol
from chassis.http_server import HttpServer
from chassis.nats_client import NatsClient
from chassis.statements import Statement, assignments
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.protocol import parser
from redis.asyncio import SSLConnection
from sqlalchemy import Integer, bindparam, column, select, table, update
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import Server, ServerState

OVERRIDDEN = (
    "connection_made",
    "connection_lost",
    "data_received",
    "on_message_begin",
    "on_url",
    "on_header",
    "on_headers_complete",
    "on_body",
    "on_response_complete",
    "pause_writing",
    "resume_writing",
    "send_400_response",
)


@pytest.mark.parametrize("method", OVERRIDDEN)
def test_uvicorns_protocol_has_the_methods_that_we_override(method: str) -> None:
    theirs = inspect.signature(getattr(HttpToolsProtocol, method))
    ours = inspect.signature(getattr(BoundedProtocol, method))
    assert list(theirs.parameters) == list(ours.parameters)


def test_we_override_no_other_method_of_uvicorns_protocol() -> None:
    theirs = {name for name in vars(HttpToolsProtocol) if not name.startswith("__")}
    assert theirs & set(vars(BoundedProtocol)) == set(OVERRIDDEN)


def test_uvicorns_protocol_keeps_what_we_read() -> None:
    source = inspect.getsource(HttpToolsProtocol.__init__)
    for attribute in (
        "client", "connections", "cycle", "headers", "loop", "parser", "pipeline", "scope",
        "server_state", "transport",
    ):  # fmt: skip
        assert f"self.{attribute}" in source
    cycle = inspect.getsource(RequestResponseCycle.__init__)
    for attribute in (
        "body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete",
        "response_started", "scope",
    ):  # fmt: skip
        assert f"self.{attribute}" in cycle
    assert STATUS_LINE[200].startswith(b"HTTP/1.1 200")


def test_uvicorns_server_keeps_what_we_read() -> None:
    assert hasattr(Server, "capture_signals")
    assert "await self.main_loop()" in inspect.getsource(Server)
    assert list(inspect.signature(Server.on_tick).parameters) == ["self", "counter"]
    state = ServerState()
    assert state.connections == set()
    assert isinstance(state.default_headers, list)
    server = HttpServer(app=None, host="127.0.0.1", port=0)
    assert isinstance(server.server_state, ServerState)
    server.config.load()
    assert isinstance(server.config.encoded_headers, list)


def test_a_compiled_statement_tells_its_parameters_in_order() -> None:
    things = table("things", column("id", Integer), column("name"))
    one = Statement(
        update(things)
        .where(things.c.id == bindparam("id"), things.c.name != "fixed")
        .values(assignments([things.c.name]))
    )
    assert one.sql.startswith("UPDATE things SET name=$1 WHERE things.id = $2::INTEGER AND")
    assert one.arguments({"id": 7, "name": "new"}) == ["new", 7, "fixed"]
    with pytest.raises(KeyError):
        one.arguments({"name": "new"})


def test_a_parameter_that_stands_twice_is_sent_once() -> None:
    x = bindparam("x", type_=Integer)
    twice = Statement(select(x, x + bindparam("y", type_=Integer)))
    assert twice.sql.count("$1") == 2
    assert twice.arguments({"y": 2, "x": 1}) == [1, 2]


async def test_faststreams_broker_uses_the_connection_that_it_is_given() -> None:
    client = NatsClient()
    broker = Broker(client)
    assert await broker.connect() is client
    assert broker.connection is client


def test_we_override_nothing_of_faststreams_broker_but_how_it_connects() -> None:
    defined = {name for name, value in vars(Broker).items() if callable(value)}
    assert defined == {"__init__", "_connect"}
    assert list(inspect.signature(NatsBroker._connect).parameters) == ["self"]


def test_nats_py_reads_headers_where_we_look_at_them_before() -> None:
    theirs = inspect.signature(Client._process_msg).parameters
    assert list(theirs) == list(inspect.signature(NatsClient._process_msg).parameters)
    assert "self._process_headers(headers)" in inspect.getsource(Client._process_msg)
    assert "self.nc._process_msg(" in inspect.getsource(parser)


def test_nats_py_makes_its_first_command_once_it_knows_what_the_server_offers() -> None:
    source = inspect.getsource(Client._process_connect_init)
    known, told = source.index("self._server_info = "), source.index("self._connect_command()")
    assert source.index("self.ssl_context") < told
    assert known < told
    assert "self._connect_command(" not in inspect.getsource(Client).replace(source, "")


def test_redis_py_keeps_the_context_of_a_connection_where_we_put_it() -> None:
    connection = SSLConnection(host="localhost")
    connection.ssl_context.context = made = ssl.create_default_context()
    assert connection.ssl_context.get() is made
    assert "connect_check_health" in inspect.getsource(SSLConnection.connect)
