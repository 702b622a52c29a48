"""Whatever a receiver writes, in whatever pieces: one answer or none, read within its bounds."""

from hypothesis import given
from hypothesis import strategies as st
from webhooks.worker.answer import KEPT_BODY_BYTES, MAX_HEAD_BYTES, Answer, InvalidAnswerError

PARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 103 Early Hints\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.0 410 Gone\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 5000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Retry-After: 120\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        b"abc",
        b"x" * 5000,
        b"3\r\nabc\r\n",
        b"0\r\n",
        b"a" * 20_000 + b": b\r\n",
    ]
)
WRITTEN = st.lists(st.one_of(PARTS, st.binary(max_size=20)), max_size=14).map(b"".join)


def read(written: bytes, piece: int) -> tuple[int | None, bytes, bool]:
    """The status, the body, and whether it is no answer."""
    answer = Answer()
    while written and not answer.is_complete:
        size = min(piece, answer.bytes_left, len(written))
        assert size > 0
        try:
            answer.feed(memoryview(written[:size]), size)
        except InvalidAnswerError:
            assert answer.status is None
            return None, b"", True
        written = written[size:]
    return answer.status, bytes(answer.body), False


@given(WRITTEN, st.integers(1, 5000))
def test_the_pieces_do_not_matter(written: bytes, piece: int) -> None:
    whole, pieces = read(written, MAX_HEAD_BYTES), read(written, piece)
    assert pieces[0] == whole[0]
    if len(written) < MAX_HEAD_BYTES:  # a read in which the head ends counts for the body too
        assert pieces == whole
    assert len(whole[1]) <= KEPT_BODY_BYTES


def test_a_head_without_end_is_read_no_further_than_its_bound() -> None:
    answer, size = Answer(), 0
    try:
        while size < 2 * MAX_HEAD_BYTES:
            answer.feed(memoryview(b"\r"), 1)
            size += 1
    except InvalidAnswerError:
        pass
    assert size < MAX_HEAD_BYTES
