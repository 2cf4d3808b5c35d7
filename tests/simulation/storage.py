"""Simulated storage: a directory's operations, and a bucket."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pairlift.digest import sha256_bytes
from pairlift.errors import StorageError
from pairlift.storage.store import Found, Ready, Stored, Write

from simulation.world import World

Watch = Callable[[str, bytes | None], None]


@dataclasses.dataclass(slots=True)
class Node:
    """A file's content, which may have several names."""

    number: int
    time: int
    data: bytes
    mark: str = ""

    @property
    def version(self) -> str:
        """Another content has another version."""
        return f"{self.number}-{len(self.data)}-{self.time}"


class Disk:
    """What is stored. `watch` is told of each change of a name: its new bytes, or None."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.watch: Watch = lambda name, data: None
        self._numbers = itertools.count(1)

    def put(self, name: str, data: bytes, mark: str = "") -> Node:
        """Store bytes under a name."""
        number = next(self._numbers)
        self.nodes[name] = Node(number, number, data, mark)
        self.watch(name, data)
        return self.nodes[name]

    def remove(self, name: str) -> None:
        """Remove a name, if it is there."""
        if self.nodes.pop(name, None) is not None:
            self.watch(name, None)

    def name(self, node: Node, name: str) -> None:
        """Give a node a name."""
        self.nodes[name] = node
        self.watch(name, node.data)


class SimulatedFiles:
    """The operations of a directory, as `pairlift.storage.files.Files` has them."""

    def __init__(self, world: World, disk: Disk) -> None:
        self._world, self._disk = world, disk

    def write(self, name: str, write: Write) -> Stored:
        """Make a file, then write it: a process that dies between leaves a part of it."""

        def make() -> Node:
            if name in self._disk.nodes:
                raise FileExistsError(17, "File exists", name)
            return self._disk.put(name, b"")

        node = self._world.step("create file", name, make, True)
        buffer = io.BytesIO()
        try:
            write(buffer)
            data = buffer.getvalue()

            def fill() -> None:
                node.data = data
                if self._disk.nodes.get(name) is node:
                    self._disk.watch(name, data)

            if data:
                self._world.step("write file", name, fill, True)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                self.unlink(name)
            raise
        return Stored(size=len(data), sha256=sha256_bytes(data))

    def link(self, source: str, name: str) -> None:
        def link() -> None:
            node = self._node(source)
            if name in self._disk.nodes:
                raise FileExistsError(17, "File exists", name)
            self._disk.name(node, name)

        self._world.step("link", name, link, True)

    def rename(self, source: str, name: str) -> None:
        def rename() -> None:
            node = self._node(source)
            self._disk.nodes.pop(source)
            self._disk.name(node, name)

        self._world.step("rename", name, rename, True)

    def unlink(self, name: str) -> None:
        def unlink() -> None:
            self._node(name)
            self._disk.remove(name)

        self._world.step("unlink", name, unlink, True)

    def rmdir(self, name: str) -> None:
        self._world.step("rmdir", name, lambda: None, True)

    def prune(self, folder: str) -> None:
        self._world.step("rmdir", folder, lambda: None, True)

    def sync(self, name: str) -> None:
        self._world.step("sync", name, lambda: None, True)

    def read(self, name: str) -> bytes:
        return bytes(self._world.step("read", name, lambda: self._node(name).data, False))

    def digest(self, name: str) -> str:
        return sha256_bytes(self._world.step("digest", name, lambda: self._node(name).data, False))

    def version(self, name: str) -> tuple[int, str]:
        def look() -> tuple[int, str]:
            node = self._node(name)
            return len(node.data), node.version

        found: tuple[int, str] = self._world.step("version", name, look, False)
        return found

    def walk(self, folder: str) -> Iterator[str]:
        found = self._world.step(
            "walk", folder, lambda: sorted(n for n in self._disk.nodes if n.startswith(folder)), False
        )
        yield from found

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[Callable[[], bool] | None]:
        process = self._world.current

        def take() -> int | None:
            node = self._node(name)
            if any(node.number in other.locks for other in self._world.processes):
                return None
            if process is not None:
                process.locks.add(node.number)
            return node.number

        number = self._world.step("lock", name, take, True)

        def is_held() -> bool:
            try:
                return self.version(name)[1].startswith(f"{number}-")
            except FileNotFoundError:
                return False

        try:
            yield None if number is None else is_held
        finally:
            if process is not None and number is not None:
                process.locks.discard(number)

    def check_owner(self, folder: str) -> None:
        """Everything has one owner here."""

    def _node(self, name: str) -> Node:
        if name not in self._disk.nodes:
            raise FileNotFoundError(2, "No such file or directory", name)
        return self._disk.nodes[name]


class SimulatedBucket:
    """Objects under a prefix, as `pairlift.storage.store.Store` has them; each request is one step."""

    def __init__(self, world: World, disk: Disk) -> None:
        self.root = "s3://bucket/"
        self._world, self._disk = world, disk

    def create(self, name: str, data: bytes, mark: str) -> Stored | None:
        def put() -> Stored | None:
            if name in self._disk.nodes:
                return None
            return Stored(size=len(data), sha256=sha256_bytes(data), version=self._disk.put(name, data, mark).version)

        return self._ask("create object", name, put, True)

    def swap(
        self, name: str, write: Write, mark: str, expected: str | None, ready: Ready | None = None
    ) -> Stored | None:
        buffer = io.BytesIO()
        write(buffer)
        data = buffer.getvalue()
        stored = Stored(size=len(data), sha256=sha256_bytes(data))
        if ready is not None:
            ready(stored)

        def put() -> Stored | None:
            node = self._disk.nodes.get(name)
            if (node.version if node else None) != expected:
                return None
            return dataclasses.replace(stored, version=self._disk.put(name, data, mark).version)

        return self._ask("replace object", name, put, True)

    def stat(self, name: str) -> Found | None:
        return self.look(name)

    def look(self, name: str) -> Found | None:
        return self._ask("head object", name, lambda: self._find(name), False)

    def read(self, name: str) -> bytes | None:
        def get() -> bytes | None:
            node = self._disk.nodes.get(name)
            return node.data if node else None

        return self._ask("get object", name, get, False)

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        return {name: data for name in names if (data := self.read(name)) is not None}

    def names(self, prefix: str) -> list[str]:
        return list(self.find(prefix))

    def find(self, prefix: str = "") -> dict[str, Found]:
        def find() -> dict[str, Found]:
            return {
                n: Found(size=len(d.data), version=d.version)
                for n, d in sorted(self._disk.nodes.items())
                if n.startswith(prefix)
            }

        return dict(self._ask("list objects", prefix, find, False))

    def find_altered(self, expected: Mapping[str, Stored]) -> list[str]:
        there = self.find()
        return [
            name
            for name, stored in expected.items()
            if name not in there or (there[name].size, there[name].version) != (stored.size, stored.version)
        ]

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._ask("delete object", name, lambda name=name: self._disk.remove(name), True)

    def tidy(self, names: Iterable[str]) -> None:
        """Nothing is left of an upload here."""

    def probe(self, name: str, mark: str) -> None:
        """This bucket heeds conditions."""

    def _find(self, name: str) -> Found | None:
        node = self._disk.nodes.get(name)
        if node is None:
            return None
        return Found(size=len(node.data), version=node.version, mark=node.mark, sha256=sha256_bytes(node.data))

    def _ask(self, operation: str, name: str, effect: Callable[[], Any], mutates: bool) -> Any:
        try:
            return self._world.step(operation, name, effect, mutates)
        except OSError as error:
            raise StorageError(f"{name}: {error.strerror}") from error
