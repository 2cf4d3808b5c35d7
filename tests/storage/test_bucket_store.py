"""A bucket as a store: of several writers one succeeds, whatever answers are lost, and what a store lacks is said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from bucket import Bucket, bucket, moto_port
from pairlift.digest import sha256_bytes
from pairlift.errors import InputError, StorageError
from pairlift.storage import bucket as bucket_module
from pairlift.storage import conditional, s3, upload
from pairlift.storage.bucket import BucketStore
from pairlift.storage.object_file import open_object
from pairlift.storage.open import open_store
from pairlift.storage.store import Found, Stored

__all__ = ["bucket", "moto_port"]
LARGE = bytes(range(256)) * 20  # five parts
SMALL = b"small"
SIZES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture
def store(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> BucketStore:
    """A store under a prefix, with uploads in parts of a kilobyte."""
    monkeypatch.setattr(upload, "PART", 1024)
    monkeypatch.setattr(conditional, "PAUSE", 0.01)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    made = open_store(bucket.url("root/"))
    assert isinstance(made, BucketStore)
    return made


def writing(data: bytes) -> Callable[[BinaryIO], object]:
    """Return what writes these bytes, in pieces."""
    return lambda file: [file.write(data[i : i + 700]) for i in range(0, len(data), 700)]


def stored(data: bytes, version: str = "") -> Stored:
    """Return what is said of these bytes as they are written."""
    return Stored(size=len(data), sha256=sha256_bytes(data), version=version)


def once(kind: str, method: str, part: str = "") -> Callable[[str, str, int], str]:
    """Return a fault that befalls the first request of a method and path."""
    left = [kind]
    return lambda used, path, number: left.pop() if left and used == method and part in path else ""


def always(kind: str, *methods: str) -> Callable[[str, str, int], str]:
    """Return a fault that befalls every request of some methods."""
    return lambda used, path, number: kind if used in methods else ""


def finishing(data: bytes) -> tuple[str, str]:
    """Return the request that gives an object its name."""
    return ("PUT", "") if data is SMALL else ("POST", "uploadId")


def put_behind(bucket: Bucket, data: bytes, key: str = "root/a") -> str:
    """Write an object past the store, and return its version."""
    return str(bucket.direct.put_object(Bucket=bucket.name, Key=key, Body=data)["ETag"])


def test_an_object_is_created_where_there_is_none(bucket: Bucket, store: BucketStore) -> None:
    made = store.create("a/b", b"one", "mark")
    assert made == stored(b"one", bucket.direct.head_object(Bucket=bucket.name, Key="root/a/b")["ETag"])
    assert store.look("a/b") == Found(size=3, version=made.version, mark="mark", sha256=made.sha256)
    assert store.create("a/b", b"two", "mark") is None
    assert store.create("a/b", b"one", "mark") is None  # a second one of the same bytes is another one
    assert (store.read("a/b"), store.read("a"), store.look("a")) == (b"one", None, None)


@SIZES
def test_a_file_is_swapped_for_the_expected_version_alone(bucket: Bucket, store: BucketStore, data: bytes) -> None:
    seen: list[Stored] = []
    first = store.swap("a", writing(data), "mark", None, seen.append)
    assert first is not None and first.version
    assert seen == [stored(data)] and stored(data, first.version) == first
    assert bucket.get("root/a") == data
    found = store.look("a")
    assert found == Found(
        size=len(data), version=first.version, mark="mark", sha256=first.sha256 if data is SMALL else ""
    )
    for expected in (None, '"another"'):
        assert store.swap("a", writing(b"theirs" + data), "mark", expected) is None
    second = store.swap("a", writing(data + b"more"), "mark", first.version)
    assert second is not None and second.version != first.version
    assert bucket.get("root/a") == data + b"more"
    assert store.swap("gone", writing(data), "mark", first.version) is None
    assert (bucket.list_keys(), bucket.uploads()) == (["root/a"], [])
    with pytest.raises(ValueError, match="needs the version"):
        store.swap("a", writing(data), "mark", "")


@SIZES
@pytest.mark.parametrize("kind", ["500", "503", "reset", "409", "lost"])
def test_a_write_whose_answer_is_lost_is_known_again(
    bucket: Bucket, store: BucketStore, data: bytes, kind: str
) -> None:
    bucket.proxy.fault = once(kind, "PUT")
    created = store.create("a", b"one", "mark")
    assert created is not None and store.find_altered({"a": created}) == []
    for expected in (None, put_behind(bucket, b"old", "root/b")):
        if expected is None:
            bucket.direct.delete_object(Bucket=bucket.name, Key="root/b")
        else:
            put_behind(bucket, b"old", "root/b")
        bucket.proxy.fault = once(kind, *finishing(data))
        swapped = store.swap("b", writing(data), "mark", expected)
        assert swapped is not None and store.find_altered({"b": swapped}) == []
        assert bucket.get("root/b") == data and bucket.uploads() == []


@SIZES
def test_what_is_not_this_write_is_not_taken_for_it(bucket: Bucket, store: BucketStore, data: bytes) -> None:
    other = BucketStore(store._url)

    def fault(method: str, path: str, number: int) -> str:
        """Give our writes no answer, and have the other process swap before they are tried again."""
        if (method, "uploadId" in path) != (finishing(data)[0], data is LARGE) or steps:
            return ""
        steps.append(path)
        mine = bucket.proxy.fault
        bucket.proxy.fault = lambda *request: ""
        assert other.swap("a", writing(data), "mark", before) is not None  # the same bytes, the same mark
        bucket.proxy.fault = mine
        return "reset"

    for before in (None, put_behind(bucket, b"old")):
        bucket.proxy.fault, steps = (lambda *request: ""), list[str]()
        if before is None:
            bucket.direct.delete_object(Bucket=bucket.name, Key="root/a")
        else:
            put_behind(bucket, b"old")
        bucket.proxy.fault = fault
        assert store.swap("a", writing(data), "mark", before) is None
        assert (len(steps), bucket.get("root/a"), bucket.uploads()) == (1, data, [])


def test_an_upload_that_is_gone_is_looked_after(bucket: Bucket, store: BucketStore) -> None:
    answers = iter(["lost", "noupload"])
    bucket.proxy.fault = lambda method, path, number: (
        next(answers, "") if method == "POST" and "uploadId" in path else ""
    )
    made = store.swap("a", writing(LARGE), "mark", None)  # it was finished: that is why it is gone
    assert made is not None and bucket.get("root/a") == LARGE

    bucket.proxy.fault = once("noupload", "POST", "uploadId")
    assert store.swap("a", writing(b"x" + LARGE), "mark", '"old"') is None  # another has written

    for name, expected in (("new", None), ("a", made.version)):  # nobody has
        bucket.proxy.fault = once("noupload", "POST", "uploadId")
        with pytest.raises(
            StorageError, match=f"{name}: its upload was aborted by another process; run the same command"
        ):
            store.swap(name, writing(b"x" + LARGE), "mark", expected)
    assert (bucket.get("root/a"), bucket.list_keys(), bucket.uploads()) == (LARGE, ["root/a"], [])


@SIZES
@pytest.mark.parametrize("there", [False, True])
def test_of_several_swaps_at_once_one_succeeds(bucket: Bucket, store: BucketStore, data: bytes, there: bool) -> None:
    count = 4
    expected = put_behind(bucket, b"old") if there else None
    barrier = threading.Barrier(count)

    def swap(number: int) -> Stored | None:
        return store.swap("a", writing(data + bytes([number])), "mark", expected, lambda made: barrier.wait(30))

    with ThreadPoolExecutor(count) as pool:
        made = [*pool.map(swap, range(count))]
    (winner,) = [number for number, each in enumerate(made) if each is not None]
    assert bucket.get("root/a") == data + bytes([winner])
    assert bucket.uploads() == []


def test_of_several_creations_at_once_one_succeeds(bucket: Bucket, store: BucketStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [*pool.map(lambda number: store.create("a", b"the same", "mark"), range(8))]
    assert sum(each is not None for each in made) == 1


@SIZES
def test_what_fails_before_the_end_leaves_nothing(bucket: Bucket, store: BucketStore, data: bytes) -> None:
    def fail(made: Stored) -> None:
        raise KeyboardInterrupt

    def write(file: BinaryIO) -> None:
        writing(data)(file)
        raise OSError(28, "No space left on device")

    for expected, keys in ((None, []), (put_behind(bucket, b"old"), ["root/a"])):
        if expected is None:
            bucket.direct.delete_object(Bucket=bucket.name, Key="root/a")
        else:
            put_behind(bucket, b"old")
        with pytest.raises(KeyboardInterrupt):
            store.swap("a", writing(data), "mark", expected, fail)
        with pytest.raises(OSError, match="No space"):
            store.swap("a", write, "mark", expected)
        assert (bucket.list_keys(), bucket.uploads()) == (keys, [])
    assert bucket.get("root/a") == b"old"


def test_a_listing_has_names_in_order_sizes_and_versions(bucket: Bucket, store: BucketStore) -> None:
    put_behind(bucket, b"", "root/")  # as a console marks a folder
    versions = {name: put_behind(bucket, name.encode(), f"root/{name}") for name in ("b", "a/2", "a/10", "a b+é%")}
    put_behind(bucket, b"x", "rooted")
    found = store.find()
    assert [*found] == sorted(versions)
    assert found == {name: Found(size=len(name.encode()), version=version) for name, version in versions.items()}
    assert [*store.find("a/")] == ["a/10", "a/2"]
    assert store.find("c") == {}


def test_altered_files_are_found_by_one_listing(bucket: Bucket, store: BucketStore) -> None:
    made = {f"parts/{i}": store.create(f"parts/{i}", bytes([i]), "mark") for i in range(5)}
    expected = {name: each for name, each in made.items() if each is not None}
    assert len(expected) == 5
    bucket.proxy.requests.clear()
    assert store.find_altered({}) == []
    assert store.find_altered(expected) == []
    assert len(bucket.proxy.requests) == 1
    put_behind(bucket, b"!", "root/parts/1")  # as long as it was
    put_behind(bucket, b"longer", "root/parts/2")
    bucket.direct.delete_object(Bucket=bucket.name, Key="root/parts/4")
    assert store.find_altered(expected) == ["parts/1", "parts/2", "parts/4"]
    assert [store.find_altered({name: expected[name]}) for name in ("parts/0", "parts/1")] == [[], ["parts/1"]]


def test_files_whose_version_is_not_known_are_compared_by_their_bytes(bucket: Bucket, store: BucketStore) -> None:
    for name, data in (("small", SMALL), ("large", LARGE)):
        assert store.swap(name, writing(data), "mark", None) is not None
    assert store.find_altered({"small": stored(SMALL), "large": stored(LARGE)}) == []
    assert store.find_altered({"large": stored(LARGE)}) == []
    assert store.find_altered({"small": stored(SMALL[::-1]), "large": stored(LARGE[::-1]), "gone": stored(b"")}) == [
        "small",
        "large",
        "gone",
    ]
    bucket.proxy.fault = always("403", "GET")
    with pytest.raises((StorageError, OSError), match="large: access denied"):
        store.find_altered({"large": stored(LARGE)})


def test_objects_are_removed_one_by_one(bucket: Bucket, store: BucketStore) -> None:
    bucket.proxy.fault = always("nobulk", "POST")
    with pytest.raises(ClientError, match="MissingContentMD5"):  # such a store this is
        s3.client().delete_objects(Bucket=bucket.name, Delete={"Objects": [{"Key": "a"}]})
    names = [f"parts/{i}" for i in range(40)]
    for name in [*names, "kept"]:
        put_behind(bucket, b"x", f"root/{name}")
    store.remove(iter([*names, "never"]))
    store.remove([])
    assert bucket.list_keys() == ["root/kept"]
    store.remove(["kept"])
    assert bucket.list_keys() == []
    bucket.proxy.fault = always("403", "DELETE")
    for number in (1, 40):
        with pytest.raises(StorageError, match=r"root/parts/\d+: access denied"):
            store.remove(names[:number])


def test_a_missing_object_counts_as_removed(store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "DeleteObject")

    monkeypatch.setattr(store, "_client", type("Client", (), {"delete_object": staticmethod(refuse)}))
    store.remove(["a", "b"])


def test_unfinished_uploads_are_aborted(bucket: Bucket, store: BucketStore) -> None:
    for key in ("root/a", "root/a", "root/ab"):
        bucket.direct.create_multipart_upload(Bucket=bucket.name, Key=key)
    store.tidy(["a", "never"])
    assert bucket.uploads() == ["root/ab"]
    bucket.proxy.fault = always("403", "GET", "DELETE")
    store.tidy(["ab"])  # who may not is not stopped by that
    assert bucket.uploads() == ["root/ab"]


def test_what_is_cut_off_is_read_again(bucket: Bucket, store: BucketStore) -> None:
    put_behind(bucket, LARGE)
    bucket.proxy.fault = once("cut", "GET")
    assert store.read("a") == LARGE
    bucket.proxy.fault = always("cut", "GET")
    with pytest.raises(StorageError, match=r"root/a: .*try again later: run the same command again"):
        store.read("a")


def test_marks_are_read_however_the_server_writes_them(bucket: Bucket, store: BucketStore) -> None:
    bucket.proxy.fault = always("capitals", "HEAD")
    made = store.create("a", b"one", "mark")
    assert made is not None
    assert store.look("a") == Found(size=3, version=made.version, mark="mark", sha256=made.sha256)


@SIZES
@pytest.mark.parametrize(("expected", "header"), [(None, "If-None-Match"), ('"old"', "If-Match")])
def test_a_store_without_conditional_writes_is_told_of(
    bucket: Bucket, store: BucketStore, data: bytes, expected: str | None, header: str
) -> None:
    bucket.proxy.fault = always("501", "PUT", "POST")
    message = (
        f"^s3://{bucket.name}/root/a: the store answers NotImplemented to a conditional write \\({header}\\), which pairlift "
        r"needs so that two processes cannot overwrite each other; use a store that supports it \(docs/stores.md\), or write to a "
        "local file and copy it$"
    )
    with pytest.raises(StorageError, match=message):
        store.swap("a", writing(data), "mark", expected)
    assert (bucket.list_keys(), bucket.uploads()) == ([], [])
    if expected is None:
        with pytest.raises(StorageError, match=message):
            store.create("a", b"one", "mark")


def error(status: int, code: str = "", message: str = "", **more: str) -> ClientError:
    """Return an error as botocore raises it."""
    said = {"Code": code or str(status), "Message": message, **more}
    return ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize(
    ("failure", "lacking"),
    [
        (error(501), True),
        (error(501, "NotImplemented", "A header you provided implies functionality that is not implemented"), True),
        (error(501, "NotImplemented", Header="If-None-Match"), True),
        (error(501, "NotImplemented", Header="Transfer-Encoding"), False),
        (error(400, "NotImplemented"), True),
        (error(400, "InvalidArgument", "If-None-Match is not supported here"), True),
        (error(400, "InvalidRequest", "The header you provided implies functionality that is not implemented"), True),
        (error(400, "InvalidArgument", "x-amz-storage-class"), False),
        (error(503, "SlowDown"), False),
        (error(403, "AccessDenied"), False),
    ],
)
def test_what_a_store_lacks_is_told_from_other_errors(failure: ClientError, lacking: bool) -> None:
    assert conditional._lacks_conditions(failure) is lacking


@pytest.mark.parametrize(
    ("failure", "passing"),
    [
        *((error(status), True) for status in (408, 429, 500, 502, 503, 504)),
        (error(409, "ConditionalRequestConflict"), True),
        (error(400, "RequestTimeout"), True),
        (error(400, "ThrottlingException"), True),
        (EndpointConnectionError(endpoint_url="http://nowhere"), True),
        (ConnectionResetError(104, "reset"), True),
        *((error(status), False) for status in (400, 404, 405, 411, 501)),
        (NoCredentialsError(), False),
    ],
)
def test_only_what_passes_is_advised_to_be_tried_again(failure: Exception, passing: bool) -> None:
    assert s3.is_passing(failure) is passing
    assert ("run the same command again" in s3.explain(failure)) is passing


@pytest.mark.parametrize("kind", ["400", "405"])
def test_a_refusal_that_stays_is_not_advised_to_be_tried_again(bucket: Bucket, store: BucketStore, kind: str) -> None:
    bucket.proxy.fault = always(kind, "GET", "PUT", "POST", "DELETE")
    actions: list[Callable[[], Any]] = [
        lambda: store.create("a", b"one", "mark"),
        lambda: store.swap("a", writing(LARGE), "mark", None),
        lambda: store.find(),
        lambda: store.read("a"),
        lambda: store.remove(["a"]),
    ]
    for action in actions:
        with pytest.raises(StorageError, match=r"would be refused again: docs/stores.md") as refused:
            action()
        assert "later" not in str(refused.value)


def test_a_conflict_that_stays_is_an_error(bucket: Bucket, store: BucketStore) -> None:
    bucket.proxy.fault = always("409", "PUT")
    with pytest.raises(
        StorageError, match=r"root/a: another process is writing it at this moment; run the same command"
    ):
        store.create("a", b"one", "mark")
    assert len(bucket.proxy.requests) == conditional.TRIES


def test_a_store_that_takes_no_notice_of_conditions_is_found_out(bucket: Bucket, store: BucketStore) -> None:
    bucket.proxy.fault = always("ignore", "PUT", "POST")
    assert store.create("job.json", b"{}", "mark") is not None
    for _ in range(2):  # and each time again
        with pytest.raises(
            StorageError, match=r"root/probe: the store ignores If-None-Match and overwrites the object"
        ):
            store.probe("probe", "mark")
    assert bucket.get("root/job.json") == b"{}"


def test_a_store_that_heeds_conditions_is_asked_once(
    bucket: Bucket, store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "_probed", set())
    made = store.create("job.json", b"{}", "mark")
    bucket.proxy.requests.clear()
    store.probe("probe", "mark")
    assert [line.split()[0] for line in bucket.proxy.requests] == ["PUT", "PUT", "HEAD"]
    open_store(bucket.url("elsewhere/")).probe("probe", "mark")
    assert len(bucket.proxy.requests) == 3
    assert made is not None and store.find_altered({"job.json": made}) == []


def test_an_input_that_cannot_be_had_for_now_is_told_from_one_that_cannot_be_had(bucket: Bucket) -> None:
    for kind, passing in (("503", True), ("403", False), ("501", False)):
        bucket.proxy.fault = always(kind, "HEAD")
        if kind == "501":
            bucket.proxy.fault = always("405", "HEAD")
        with pytest.raises(InputError) as refused:
            open_object(bucket.url("a"))
        assert refused.value.passing is passing
