"""What a remote holds and lacks of what is expected, object by object.

Work goes by the first two digits of the keys, some at a time in threads.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from lifeboat.deadlines import in_threads
from lifeboat.proof import comparison, expected, manifests, targets
from lifeboat.proof.comparison import Evidence, Judge, Judgement, Meant
from lifeboat.proof.expected import Expected, Object, Out
from lifeboat.remotes.bucket import Bucket, Stored

_Wanted: TypeAlias = tuple[Object, Out]
"""An object, and an out that it is expected for."""


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
        cure: what makes it as it should be, where the store knows it.
    """

    oid: str
    path: str
    stage: str
    reason: str
    places: tuple[str, ...]
    bytes: int | None = None
    n_more: int = 0
    cure: str = ""


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
        borrowed: until when objects can be read that cannot be read afterwards, one of each.
    """

    url: str
    n_expected: int
    n_bytes: int
    by_evidence: dict[Evidence, int]
    missing: tuple[Finding, ...]
    wrong: tuple[Finding, ...]
    expected: Expected
    hashes_are_content: bool = True
    borrowed: tuple[str, ...] = ()

    @property
    def n_present(self) -> int:
        """Objects that are there and not wrong."""
        return sum(self.by_evidence.values())

    @property
    def is_whole(self) -> bool:
        """Whether something is expected, all of that is known, and all of it is there."""
        is_there = not self.missing and not self.wrong and not self.expected.problems
        return self.n_expected > 0 and is_there


def inspect(
    root: Path,
    found: Expected,
    bucket: Bucket,
    wanted: list[str],
    *,
    deep: bool = False,
    hurried: bool = False,
) -> Verified:
    """What a remote holds and lacks of the study, or of some targets of it.

    Args:
        root: the project, to which targets are relative.
        found: what is expected.
        bucket: the remote.
        wanted: stages, outs or paths inside outs; all of it where there are none.
        deep: whether every object is read and hashed.
        hurried: whether less is asked of the remote, as `Judge` says.

    Raises:
        UserError: where a target is none.
        StoreError: where the remote cannot be asked.
    """
    is_meant = targets.select(root, found, wanted)
    look = _Inspection(found, bucket, Judge(bucket, deep, hurried=hurried))
    by_oid: dict[str, list[_Wanted]] = defaultdict(list)
    outs = [out for out in found.outs if targets.touches(out, root, wanted)]
    for out in outs:
        try:
            for object_ in filter(is_meant, expected.objects([out], found, bucket)):
                by_oid[object_.oid].append((object_, out))
        except manifests.DamagedListError as error:
            look.damaged[out] = str(error)
    look.everything(by_oid)
    for out in outs:
        if is_meant(Object(out.oid, out.path, None, out.stage)):
            look.total(out, by_oid)
    return Verified(
        url=bucket.url,
        n_expected=len(by_oid),
        n_bytes=look.n_bytes,
        by_evidence=dict(+look.by_evidence),
        missing=tuple(look.missing),
        wrong=tuple(look.wrong),
        expected=found,
        hashes_are_content=look.judge.hashes_are_content,
        borrowed=tuple(look.borrowed),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """One object, all that it is expected for, and what the remote has of it."""

    wanted: list[_Wanted]
    stored: Stored | None
    verdict: Judgement

    @property
    def n_bytes(self) -> int:
        """Its size, as the remote says it."""
        return self.stored.bytes if self.stored else 0


@dataclass
class _Inspection:
    """What is known while a remote is being looked through."""

    expected: Expected
    bucket: Bucket
    judge: Judge
    damaged: dict[Out, str] = field(default_factory=dict)
    n_bytes: int = 0
    by_evidence: Counter[Evidence] = field(default_factory=Counter)
    missing: list[Finding] = field(default_factory=list)
    wrong: list[Finding] = field(default_factory=list)
    bytes_by_out: Counter[Out] = field(default_factory=Counter)
    unsized_by_out: Counter[Out] = field(default_factory=Counter)
    incomplete_outs: set[Out] = field(default_factory=set)
    borrowed: list[str] = field(default_factory=list)

    def everything(self, by_oid: dict[str, list[_Wanted]]) -> None:
        """Looks at every object that is expected, those of one prefix with one listing."""
        by_prefix = groupby(sorted(by_oid), key=lambda oid: oid[:2])
        groups = ({oid: _by_path(by_oid[oid]) for oid in oids} for _, oids in by_prefix)
        for seen in in_threads(self._prefix, groups):
            for one in seen:
                self._count(one)

    def total(self, out: Out, by_oid: dict[str, list[_Wanted]]) -> None:
        """Compares a folder's size altogether, where the sizes of its files are recorded nowhere.

        Where it differs, those files are read and hashed.
        """
        n_unsized = self.unsized_by_out[out]
        if not n_unsized or out.bytes is None or out in self.incomplete_outs:
            return
        self.by_evidence["presence"] -= n_unsized
        if self.bytes_by_out[out] == out.bytes:
            self.by_evidence["size"] += n_unsized
            return
        files = (
            [pair for pair in _by_path(by_oid[oid]) if pair[1] == out]
            for oid in sorted(by_oid)
            if oid != out.oid
        )
        for one in in_threads(self._reread, filter(None, files)):
            if one is not None:
                self._count(one, is_new=False)

    def _prefix(self, wanted_by_oid: dict[str, list[_Wanted]]) -> list[_Seen]:
        """What the remote has of the objects of one prefix, from one listing."""
        keys = {manifests.key(oid) for oid in wanted_by_oid}
        if self.bucket.can_list:
            listed = self.bucket.list(f"files/md5/{next(iter(wanted_by_oid))[:2]}/")
            there = {stored.key: stored for stored in listed if stored.key in keys}
        else:
            there = {key: stored for key in keys if (stored := self.bucket.find(key))}
        return [
            self._judged(wanted, there.get(manifests.key(oid)))
            for oid, wanted in wanted_by_oid.items()
        ]

    def _judged(self, wanted: list[_Wanted], stored: Stored | None) -> _Seen:
        verdict = self.judge.judge(self._meant(wanted), stored)
        unknown = "" if verdict.wrong else self._problem(wanted)
        return _Seen(wanted, stored, replace(verdict, wrong=unknown) if unknown else verdict)

    def _meant(self, wanted: list[_Wanted]) -> Meant:
        size = next((o.bytes for o, _out in wanted if o.bytes is not None), None)
        return self.expected.meant(wanted[0][0].oid, size)

    def _reread(self, wanted: list[_Wanted]) -> _Seen | None:
        """An object by its content, if only its presence was compared."""
        meant = self.expected.meant(wanted[0][0].oid)
        stored = self.bucket.find(meant.key)
        known = self.judge.judge(meant, stored)
        if stored is not None and not known.wrong:
            if known.evidence != "presence":
                return None
            known = self.judge.read(meant, stored)
        return _Seen(wanted, stored, known)

    def _count(self, seen: _Seen, *, is_new: bool = True) -> None:
        if seen.verdict.wrong:
            self.incomplete_outs.update(out for _object, out in seen.wanted)
            is_there = seen.verdict.is_there
            (self.wrong if is_there else self.missing).append(self._finding(seen))
            if not is_new:
                self.n_bytes -= seen.n_bytes
            return
        self.by_evidence[seen.verdict.evidence] += 1
        if until := seen.verdict.until:
            self.borrowed.append(until)
        if is_new:
            self.n_bytes += seen.n_bytes
            for object_, out in seen.wanted:
                self.bytes_by_out[out] += 0 if object_.path == out.path else seen.n_bytes
            self.unsized_by_out[seen.wanted[0][1]] += seen.verdict.evidence == "presence"

    def _problem(self, wanted: list[_Wanted]) -> str:
        """Why a folder's list does not tell its files, where this is one that does not."""
        for object_, out in wanted:
            if object_.path == out.path and out in self.damaged:
                return self.damaged[out]
            if object_.path == out.path and not object_.is_known:
                return f"it is not here either, so its {out.n_files or 0} files are unknown"
        return ""

    def _finding(self, seen: _Seen) -> Finding:
        first, verdict = seen.wanted[0][0], seen.verdict
        reasons = [verdict.wrong if verdict.is_there else "", self._problem(seen.wanted)]
        return Finding(
            oid=first.oid,
            path=first.path,
            stage=first.stage,
            reason="; ".join(dict.fromkeys(filter(None, reasons))),
            places=tuple(sorted({place for _object, out in seen.wanted for place in out.places})),
            bytes=comparison.size_of(self.expected.cached(first.oid)),
            n_more=len({object_.path for object_, _out in seen.wanted}) - 1,
            cure=verdict.cure,
        )


def _by_path(wanted: list[_Wanted]) -> list[_Wanted]:
    return sorted(wanted, key=lambda pair: pair[0].path)
