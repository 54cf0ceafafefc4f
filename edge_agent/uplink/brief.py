"""From journal records to what a packed frame says of them: one by one, or in a storm counted. Pure."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

from edge_agent.uplink import packed
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.packed import Brief, BriefEvent, Entry, Gap, Group, Opaque, Summary

ALWAYS_TOLD: Final = 4  # so few cost no more one by one than counted


def brief_of(n: int, body: bytes) -> BriefEvent | Opaque:
    """What a duty person needs of one journal record."""
    try:
        record = json.loads(body)
        at = record["at"]
        return BriefEvent(
            n=n,
            kind=str(record["kind"])[:32],
            active=bool(record["active"]),
            grade=int(record.get("grade", 0)),
            wall_s=int(at["wall_ns"]) // 1_000_000_000,
            clock=at["clock"] if at["clock"] in packed.CLOCKS else "unset",
            event_id=str(record.get("id", "")),
            point=str(record["point"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return Opaque(n, n)


def condense(batch: Batch, one_by_one: int) -> Brief:
    """The BRIEF of a batch. At most `one_by_one` events are told singly (a few always are), the rest are counted by kind and
    source, so that any batch of more than `one_by_one` fits one frame. A shorter one may turn out longer than a frame.
    """
    entries: list[Entry] = [brief_of(n, body) for n, body in batch.records]
    entries += [Gap(first, last, why) for first, last, why in batch.gaps]
    entries.sort(key=lambda entry: entry.n if isinstance(entry, BriefEvent) else entry.first)
    told = max(one_by_one, ALWAYS_TOLD)
    if sum(isinstance(entry, BriefEvent) for entry in entries) > told:
        sources = {n: _source(body) for n, body in batch.records}
        keep = min(told, packed.fits(entries, batch.epoch, batch.first))
        while True:
            short = [*entries[:keep], _summary(entries[keep:], batch.last, sources)]
            if keep == 0 or packed.fits(short, batch.epoch, batch.first) == len(short):
                entries = short
                break
            keep -= 1
    return Brief(
        epoch=batch.epoch,
        priority=batch.priority,
        first=batch.first,
        entries=tuple(entries),
        replay=batch.replay,
        dup=batch.dup,
    )


def _summary(entries: Sequence[Entry], last: int, sources: dict[int, str]) -> Summary:
    events = [entry for entry in entries if isinstance(entry, BriefEvent)]
    counts = Counter((event.kind, event.active, sources.get(event.n, "")) for event in events)
    common = counts.most_common(packed.GROUPS_MAX if len(counts) <= packed.GROUPS_MAX else packed.GROUPS_MAX - 1)
    groups = [Group(kind, active, source, count) for (kind, active, source), count in common]
    if (rest := len(events) - sum(group.count for group in groups)) > 0:
        groups.append(Group("other", True, "", rest))
    head = entries[0]
    latest = max(events, key=lambda event: event.wall_s, default=None)
    return Summary(
        head.n if isinstance(head, BriefEvent) else head.first,
        last,
        latest.wall_s if latest else 0,
        latest.clock if latest else "unset",
        tuple(groups),
    )


def _source(body: bytes) -> str:
    try:
        record = json.loads(body)
        return str(record.get("source") or str(record.get("point", "")).partition("/")[0])[:32]
    except (ValueError, AttributeError, RecursionError):
        return ""
