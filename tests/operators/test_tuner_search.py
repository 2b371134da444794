"""The tuner's search: proposals, the archive, pins."""

import math
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from avo_tui.domain import tunables as tn
from avo_tui.domain.candidate import Candidate
from avo_tui.operators.tuner.archive import SHRINK, SWEEPS, Archive, Tried
from avo_tui.operators.tuner.pins import read_hint
from avo_tui.operators.tuner.propose import Space, propose

SOURCE = """\
constexpr int ALGORITHM = 0;  // tune: 0(naive) 1(tiled) 2(online)
constexpr int TILE = 16;  // tune: 16 32 64 128
constexpr int UNROLL = 1;  // tune: 1 2 4 8
constexpr int WIDTH = 1;  // tune: 1 4 8 16
constexpr bool FAST = false;  // tune: false true
"""
BASE = Candidate(files={"k.cpp": SOURCE})
TUNABLES = tn.parse(BASE)
START = tn.point(TUNABLES)
AT = datetime(2026, 1, 1, tzinfo=UTC)


def tried(aggregate: float, label: str = "v1", **values: str) -> Tried:
    return Tried({**START, **values}, aggregate, label, label)


def known_effects() -> list[Tried]:
    """Every tunable was varied once, so that none has to be screened."""
    values = {"ALGORITHM": "1", "TILE": "32", "UNROLL": "2", "WIDTH": "4", "FAST": "true"}
    return [tried(0.1, name, **{name: value}) for name, value in values.items()]


def space(**pins: str) -> Space:
    return Space(TUNABLES, pins)


def never(point: object) -> bool:
    return False


def changes(point: object) -> dict[str, str]:
    assert isinstance(point, dict)
    return {n: v for n, v in point.items() if START[n] != v}


def test_every_proposal_is_new_and_possible() -> None:
    archive, seen = Archive([tried(0.05, "v0")]), {tuple(sorted(START.items()))}
    for count in range(120):
        child = propose(
            START,
            space(),
            archive,
            lambda p: tuple(sorted(p.items())) in seen,
            random.Random(count),
        )
        assert child is not None
        key = tuple(sorted(child.point.items()))
        assert key not in seen
        seen.add(key)
        tn.apply(BASE, child.point)


def test_the_whole_space_is_found_and_then_there_is_none() -> None:
    small = Candidate(files={"k.cpp": "\n".join(SOURCE.splitlines()[3:5])})
    tunables = tn.parse(small)
    seen = {tuple(sorted(tn.point(tunables).items()))}
    start = tn.point(tunables)
    for count in range(7):
        child = propose(
            start,
            Space(tunables, {}),
            Archive([]),
            lambda p: tuple(sorted(p.items())) in seen,
            random.Random(count),
        )
        assert child is not None
        seen.add(tuple(sorted(child.point.items())))
    last = propose(
        start,
        Space(tunables, {}),
        Archive([]),
        lambda p: tuple(sorted(p.items())) in seen,
        random.Random(1),
    )
    assert last is None and len(seen) == 8


def test_same_chance_same_proposal() -> None:
    archive = Archive([tried(0.05, "v0"), tried(0.1, ALGORITHM="1")])
    first = propose(START, space(), archive, never, random.Random("0:1:2"))
    second = propose(START, space(), archive, never, random.Random("0:1:2"))
    assert first == second


def test_pins_are_tried_at_once_and_never_varied() -> None:
    pinned = space(WIDTH="8", FAST="true")
    first = propose(START, pinned, Archive([]), never, random.Random(0))
    assert first is not None and first.origin == "pin"
    assert changes(first.point) == {"WIDTH": "8", "FAST": "true"}
    known = {tuple(sorted(first.point.items()))}
    for count in range(50):
        child = propose(
            START,
            pinned,
            Archive([]),
            lambda p: tuple(sorted(p.items())) in known,
            random.Random(count),
        )
        assert child is not None
        assert (child.point["WIDTH"], child.point["FAST"]) == ("8", "true")


def test_all_pinned_leaves_nothing_to_vary() -> None:
    everything = space(**START)
    assert propose(START, everything, Archive([]), never, random.Random(0)) is None


def proposals(archive: Archive, count: int = 300, boldness: int = 0) -> list[dict[str, str]]:
    found = []
    for number in range(count):
        child = propose(START, space(), archive, never, random.Random(number), boldness)
        assert child is not None
        found.append(changes(child.point))
    return found


def test_neighbours_are_more_likely_than_far_values() -> None:
    flat = Archive([tried(0.05, "v0")])
    values = Counter(c["TILE"] for c in proposals(flat, 400) if "TILE" in c)
    assert values["32"] > values["128"] > 0


def test_boldness_changes_more_at_once() -> None:
    archive = Archive([tried(0.05, "v0"), *known_effects()])
    timid = sum(map(len, proposals(archive, 100))) / 100
    bold = sum(map(len, proposals(archive, 100, boldness=2))) / 100
    assert bold > timid + 1


def test_tunables_never_varied_are_screened_in_groups() -> None:
    fresh = Archive([tried(0.05, "v0")])
    varied = Archive([tried(0.1, "v0"), *known_effects()])
    assert not fresh.varied("WIDTH") and varied.varied("WIDTH")
    failed = Archive([tried(0.05, "v0"), tried(0.0, "f", WIDTH="8")])
    assert not failed.varied("WIDTH"), "a failure tells nothing of a tunable's effect"
    groups, single = proposals(fresh, 100), proposals(varied, 100)
    assert sum(map(len, groups)) > 2 * sum(map(len, single))
    assert all(len(c) > 1 for c in groups)


def test_what_helped_is_preferred_and_what_hurt_is_avoided() -> None:
    archive = Archive(
        [
            tried(0.10, "v0"),
            tried(0.20, "a", FAST="true"),
            tried(0.19, "b", FAST="true", TILE="32"),
            tried(0.05, "c", UNROLL="8"),
            tried(0.04, "d", UNROLL="8", TILE="32"),
        ]
    )
    gain, loss = archive.gain("FAST", "false", "true"), archive.gain("UNROLL", "1", "8")
    assert gain is not None and gain > 0.2
    assert loss is not None and loss < -0.2
    assert archive.gain("WIDTH", "1", "16") is None, "never measured"
    counts = Counter(f"{n}={v}" for c in proposals(archive) for n, v in c.items())
    assert counts["FAST=true"] > 4 * counts["UNROLL=8"]


def test_a_combination_that_failed_is_avoided() -> None:
    fails = [tried(0.0, f"f{i}", WIDTH="16", TILE=t) for i, t in enumerate(("16", "32", "64"))]
    archive = Archive([tried(0.1, "v0"), tried(0.1, "a", WIDTH="8"), *fails])
    assert archive.risk({**START, "WIDTH": "16"}) > archive.risk({**START, "WIDTH": "8"}) == 0
    counts = Counter(c["WIDTH"] for c in proposals(archive) if "WIDTH" in c)
    assert counts["16"] < counts["4"]


def test_crossover_names_its_mate() -> None:
    mate = tried(0.3, "v7", ALGORITHM="2", WIDTH="16", TILE="64")
    archive = Archive([tried(0.1, "v0"), *known_effects(), mate])
    origins: Counter[str] = Counter()
    for number in range(120):
        child = propose(START, space(), archive, never, random.Random(number))
        assert child is not None
        origins[child.origin] += 1
    assert origins["crossover with v7"] > 10
    assert origins["mutation"] > 10


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        ("TILE=64", {"TILE": "64"}),
        (" tile = 64 , algorithm=online ", {"TILE": "64", "ALGORITHM": "2"}),
        ("FAST=TRUE;UNROLL=2\nWIDTH=4", {"FAST": "true", "UNROLL": "2", "WIDTH": "4"}),
        ("TILE=64 UNROLL=2  ALGORITHM = online", {"TILE": "64", "UNROLL": "2", "ALGORITHM": "2"}),
        ("TILE=64, NOPE=1", {}),
        ("TILE=65", {}),
        ("make it fast", {}),
        ("", {}),
        ("TILE==64", {}),
    ],
)
def test_hints(text: str, pins: dict[str, str]) -> None:
    found, effect = read_hint(text, TUNABLES)
    assert found == pins
    assert effect
    if not pins:
        assert "TILE" in effect, "it says what there is"


def test_an_archive_that_grew_and_shed_is_the_one_built_at_once() -> None:
    chance = random.Random(3)
    every = [
        Tried(
            {"A": str(chance.randrange(4)), "B": str(chance.randrange(3)), "C": "1"},
            chance.choice([0.0, chance.uniform(0.1, 2.0)]),
            str(number),
            str(number),
            (number, 1),
        )
        for number in range(200)
    ]
    grown = Archive(limit=50)
    for one in every:
        grown.add(one)
    at_once = Archive(every[-50:])
    assert list(grown.tried) == list(at_once.tried)
    assert grown.counts == at_once.counts
    assert grown.fit == at_once.fit
    assert [t.label for t in grown.elite(["A"])] == [t.label for t in at_once.elite(["A"])]
    for point in ({"A": "0", "B": "1"}, {"A": "3", "B": "2", "C": "1"}):
        assert grown.risk(point) == at_once.risk(point)
        assert grown.predicted(point) == at_once.predicted(point)


def test_the_fit_is_that_of_backfitting_over_every_try() -> None:
    """The sums that are kept are enough: the same sweeps over the tries themselves agree."""
    chance = random.Random(5)
    every = [
        Tried(
            {"A": str(chance.randrange(4)), "B": str(chance.randrange(3))},
            chance.uniform(0.1, 2.0),
            str(number),
            str(number),
        )
        for number in range(60)
    ]
    logs = [math.log(t.aggregate) for t in every]
    mean = sum(logs) / len(logs)
    effects: dict[tuple[str, str], float] = {}
    for _ in range(SWEEPS):
        for item in sorted({item for t in every for item in t.items}):
            members = [(t, y) for t, y in zip(every, logs, strict=True) if item in t.items]
            left = sum(
                y - mean - sum(effects.get(o, 0.0) for o in t.items if o != item)
                for t, y in members
            )
            effects[item] = left / (len(members) + SHRINK)
    assert Archive(every).fit.effects == pytest.approx(effects, abs=1e-9)
