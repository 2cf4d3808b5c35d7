"""What the workers of a Ray job are fed with: which chunks go to whom, and in which order."""

from __future__ import annotations

from pairlift.formats.row import Place
from pairlift.inputs.plan import Descriptor, Span
from pairlift.ray.feed import Queue
from pairlift.storage.stamp import Stamp


def describe(row: int, member: int | None = None) -> Descriptor:
    """Return a chunk of ten rows."""
    span = Span(input="in", stamp=Stamp(), place=Place(row=row, member=member), rows=10, end=None)
    return Descriptor(lot=0, row=row, spans=(span,))


def rows(chunks: list[Descriptor]) -> list[int]:
    """Return the first rows of chunks."""
    return [chunk.row for chunk in chunks]


def test_chunks_go_to_whoever_asks_in_order_and_those_that_come_back_first() -> None:
    queue = Queue(compressed=False)
    queue.put(map(describe, range(0, 60, 10)))
    assert (len(queue), queue.free) == (6, 6)
    first = queue.take(1, 2)
    assert rows(first) == [0, 10]
    assert rows(queue.take(2, 1)) == [20]
    queue.put_back(first)
    assert rows(queue.take(2, 9)) == [0, 10, 30, 40, 50]
    assert (queue.take(1, 9), len(queue), queue.free) == ([], 0, 0)


def test_a_chunk_at_which_a_worker_died_goes_alone() -> None:
    queue = Queue(compressed=False)
    queue.put(map(describe, range(0, 50, 10)))
    died = queue.take(1, 2)
    queue.failures.update(chunk.key for chunk in died)
    queue.put_back(died)
    assert [rows(queue.take(1, 9)) for _ in range(3)] == [[0], [10], [20, 30, 40]]


def test_one_worker_does_a_compressed_piece_and_others_do_others() -> None:
    queue = Queue(compressed=True)
    queue.put([describe(0, 0), describe(10, 0), describe(20, 0), describe(30, 500), describe(40, 900)])
    assert queue.free == 3
    assert rows(queue.take(1, 1)) == [0]
    assert queue.free == 2
    assert rows(queue.take(2, 9)) == [30, 40]  # the first piece is read by another one
    assert queue.take(2, 9) == []
    queue.put([describe(50, 900)])
    assert queue.free == 0
    assert rows(queue.take(1, 1)) == [10]
    assert rows(queue.take(2, 1)) == [50]
    queue.release(1)  # who has died
    assert queue.free == 1
    assert rows(queue.take(2, 9)) == [20]


def test_who_goes_on_to_another_piece_leaves_the_first_to_others() -> None:
    queue = Queue(compressed=True)
    queue.put([describe(0, 0), describe(10, 700)])
    begun = queue.take(1, 1)
    assert rows(queue.take(1, 1)) == [10]
    queue.put_back(begun)
    assert rows(queue.take(2, 1)) == [0]
