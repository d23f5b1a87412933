"""What a remote holds and lacks of what is expected, object by object.

Work goes by the first two digits of the keys, some at a time in threads.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from lifeboat.deadlines import in_threads
from lifeboat.proof import expected, manifests, targets
from lifeboat.proof.comparison import Evidence, Judge
from lifeboat.proof.expected import Expected, Object, Out
from lifeboat.remotes.bucket import Bucket, Stored


@dataclass(frozen=True, slots=True)
class Finding:
    """An object that the remote does not hold as it should.

    Attributes:
        oid: its key.
        path: the file that it is, relative to the project; for a folder's list the folder.
        stage: whose it is.
        reason: in words; empty where it is just not there.
        places: where it is expected from: HEAD, the workspace or both.
        bytes: its size in the local cache, if it has an object of that key (not looked into).
        n_more: further paths with the same content.
    """

    oid: str
    path: str
    stage: str
    reason: str
    places: tuple[str, ...]
    bytes: int | None = None
    n_more: int = 0


@dataclass(frozen=True)
class Verified:
    """What a remote was found to hold.

    Attributes:
        url: the remote.
        n_expected: objects, each counted once.
        n_bytes: of those that are there and not wrong.
        by_evidence: number of those by what was compared.
        missing: objects that are not there.
        wrong: objects that are not what their key says.
        expected: what was read from HEAD and the workspace.
        hashes_are_content: whether the store's own hashes count.
    """

    url: str
    n_expected: int
    n_bytes: int
    by_evidence: dict[Evidence, int]
    missing: tuple[Finding, ...]
    wrong: tuple[Finding, ...]
    expected: Expected
    hashes_are_content: bool = True

    @property
    def n_present(self) -> int:
        """Objects that are there and not wrong."""
        return sum(self.by_evidence.values())

    @property
    def is_whole(self) -> bool:
        """Whether something is expected, all of that is known, and all of it is there."""
        is_there = not self.missing and not self.wrong and not self.expected.problems
        return self.n_expected > 0 and is_there


@dataclass(frozen=True, slots=True)
class _Entry:
    """An object and the number of the out that it is expected for."""

    object: Object
    out: int


@dataclass
class _Tally:
    n_expected: int = 0
    n_bytes: int = 0
    by_evidence: Counter[Evidence] = field(default_factory=Counter)
    missing: list[Finding] = field(default_factory=list)
    wrong: list[Finding] = field(default_factory=list)
    bytes_by_out: Counter[int] = field(default_factory=Counter)
    unsized_by_out: Counter[int] = field(default_factory=Counter)
    incomplete_outs: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One object, all that it is expected for, and what the remote has of it."""

    entries: list[_Entry]
    stored: Stored | None
    evidence: Evidence = "presence"
    wrong: str = ""


def inspect(
    root: Path, found: Expected, bucket: Bucket, wanted: list[str], *, deep: bool = False
) -> Verified:
    """What a remote holds and lacks of the study, or of some targets of it.

    Args:
        root: the project, to which targets are relative.
        found: what is expected.
        bucket: the remote.
        wanted: stages, outs or paths inside outs; all of it where there are none.
        deep: whether every object is read and hashed.

    Raises:
        UserError: where a target is none.
        StoreError: where the remote cannot be asked.
    """
    is_meant = targets.select(root, found.outs, wanted)
    outs = [out for out in found.outs if targets.touches(out, root, wanted)]
    inspector = _Inspector(found, outs, bucket, Judge(bucket, deep))
    by_oid: dict[str, list[_Entry]] = defaultdict(list)
    for number, out in enumerate(outs):
        try:
            for wanted_ in filter(is_meant, expected.objects([out], found, bucket)):
                by_oid[wanted_.oid].append(_Entry(wanted_, number))
        except manifests.DamagedListError as error:
            inspector.damaged[number] = str(error)
    tally = inspector.everything(by_oid)
    for number, out in enumerate(outs):
        if is_meant(Object(out.oid, out.path, None, out.stage)):
            inspector.total(number, by_oid, tally)
    return Verified(
        url=bucket.url,
        n_expected=tally.n_expected,
        n_bytes=tally.n_bytes,
        by_evidence=dict(+tally.by_evidence),
        missing=tuple(tally.missing),
        wrong=tuple(tally.wrong),
        expected=found,
        hashes_are_content=inspector.judge.hashes_are_content,
    )


@dataclass(frozen=True)
class _Inspector:
    expected: Expected
    outs: list[Out]
    bucket: Bucket
    judge: Judge
    damaged: dict[int, str] = field(default_factory=dict)

    def everything(self, by_oid: dict[str, list[_Entry]]) -> _Tally:
        """Every object that is expected, those of one prefix with one listing."""
        tally = _Tally()
        by_prefix = groupby(sorted(by_oid), key=lambda oid: oid[:2])
        groups = ([_by_path(by_oid[oid]) for oid in oids] for _, oids in by_prefix)
        for seen in in_threads(self._prefix, groups):
            for one in seen:
                self._count(one, tally)
        return tally

    def total(self, number: int, by_oid: dict[str, list[_Entry]], tally: _Tally) -> None:
        """Compares a folder's size altogether, where the sizes of its files are recorded nowhere.

        Where it differs, those files are read and hashed.
        """
        out, n_unsized = self.outs[number], tally.unsized_by_out[number]
        if not n_unsized or out.bytes is None or number in tally.incomplete_outs:
            return
        tally.by_evidence["presence"] -= n_unsized
        if tally.bytes_by_out[number] == out.bytes:
            tally.by_evidence["size"] += n_unsized
            return
        files = (
            [entry for entry in _by_path(by_oid[oid]) if entry.out == number]
            for oid in sorted(by_oid)
            if oid != out.oid
        )
        for one in in_threads(self._reread, filter(None, files)):
            if one is not None:
                self._count(one, tally, is_new=False)

    def _prefix(self, groups: list[list[_Entry]]) -> list[_Seen]:
        """What the remote has of the objects of one prefix."""
        stored_by_key = self._stored({entries[0].object.oid for entries in groups})
        return [self._judged(entries, stored_by_key) for entries in groups]

    def _stored(self, oids: set[str]) -> dict[str, Stored]:
        """Those of some keys of one prefix that the remote has, from one listing."""
        wanted = {manifests.key(oid) for oid in oids}
        if not self.bucket.can_list:
            found = (self.bucket.find(key) for key in wanted)
            return {stored.key: stored for stored in found if stored}
        prefix = f"files/md5/{next(iter(oids))[:2]}/"
        return {o.key: o for o in self.bucket.list(prefix) if o.key in wanted}

    def _judged(self, entries: list[_Entry], stored_by_key: dict[str, Stored]) -> _Seen:
        oid = entries[0].object.oid
        stored = stored_by_key.get(manifests.key(oid))
        if stored is None:
            return _Seen(entries, None)
        size = next((e.object.bytes for e in entries if e.object.bytes is not None), None)
        verdict = self.judge.judge(oid, stored, size, self.expected.cached(oid))
        return _Seen(entries, stored, verdict.evidence, verdict.wrong or self._problem(entries))

    def _reread(self, entries: list[_Entry]) -> _Seen | None:
        """An object by its content, if only its presence was compared."""
        oid = entries[0].object.oid
        stored = self.bucket.find(manifests.key(oid))
        if stored is None:
            return _Seen(entries, None)
        known = self.judge.judge(oid, stored, None, self.expected.cached(oid))
        if known.evidence != "presence":
            return None
        verdict = self.judge.read(oid, stored)
        return _Seen(entries, stored, verdict.evidence, verdict.wrong)

    def _count(self, seen: _Seen, tally: _Tally, *, is_new: bool = True) -> None:
        numbers = [entry.out for entry in seen.entries]
        tally.n_expected += is_new
        if seen.stored is None or seen.wrong:
            tally.incomplete_outs.update(numbers)
            findings = tally.missing if seen.stored is None else tally.wrong
            findings.append(self._finding(seen))
            if not is_new and seen.stored is not None:
                tally.n_bytes -= seen.stored.bytes
            return
        tally.by_evidence[seen.evidence] += 1
        if is_new:
            tally.n_bytes += seen.stored.bytes
            for entry in seen.entries:
                is_list = entry.object.path == self.outs[entry.out].path
                tally.bytes_by_out[entry.out] += 0 if is_list else seen.stored.bytes
            tally.unsized_by_out[numbers[0]] += seen.evidence == "presence"

    def _problem(self, entries: list[_Entry]) -> str:
        """Why a folder's list does not tell its files, where this is one that does not."""
        for entry in entries:
            out = self.outs[entry.out]
            if entry.object.path != out.path:
                continue
            if entry.out in self.damaged:
                return self.damaged[entry.out]
            if not entry.object.is_known:
                return f"it is not here either, so its {out.n_files or 0} files are unknown"
        return ""

    def _finding(self, seen: _Seen) -> Finding:
        first = seen.entries[0].object
        places = {place for entry in seen.entries for place in self.outs[entry.out].places}
        reason = seen.wrong or self._problem(seen.entries)
        paths = {entry.object.path for entry in seen.entries}
        size = _size(self.expected.cached(first.oid))
        return Finding(
            oid=first.oid,
            path=first.path,
            stage=first.stage,
            reason=reason,
            places=tuple(sorted(places)),
            bytes=size,
            n_more=len(paths) - 1,
        )


def _by_path(entries: list[_Entry]) -> list[_Entry]:
    return sorted(entries, key=lambda entry: entry.object.path)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
