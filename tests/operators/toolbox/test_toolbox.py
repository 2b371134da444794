"""The toolbox: reading the lineage, editing, evaluating, submitting, journalling."""

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import (
    CandidateEdited,
    ToolCalled,
    ToolReturned,
)
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Note
from avo_tui.domain.report import ConfigurationCheck
from avo_tui.operators.ports import AttemptResult, SubmitResult
from avo_tui.operators.toolbox import ALL_TOOLS, Toolbox, Workspace, cut_middle
from avo_tui.operators.toolbox.report_text import check_lines, lineage_lines
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toolbox.calls import bad, ok
from tests.operators.toy_task import SEED, judge, source


def test_the_groups_are_complete() -> None:
    groups = {"lineage", "knowledge", "candidate", "execution", "self"}
    assert {t.group for t in ALL_TOOLS} == groups
    assert len({t.name for t in ALL_TOOLS}) == len(ALL_TOOLS)


def test_schemas_are_what_endpoints_take(box: Toolbox) -> None:
    for spec in box.specs():
        schema = spec.input_schema
        assert schema["type"] == "object" and schema["additionalProperties"] is False
        assert len(spec.description) > 20
        assert '"title":' not in json.dumps({k: v for k, v in schema.items() if k != "properties"})
    plan = next(s for s in box.specs() if s.name == "set_plan").input_schema
    assert {"title", "items", "status"} == set(plan["properties"])
    assert box.specs() == box.specs()


async def test_reading_the_lineage(box: Toolbox, bench: FakeWorkbench) -> None:
    assert "v0" in await ok(box, "list_versions") and "[head, best]" in await ok(
        box, "list_versions"
    )
    assert "const float speed = 1.00;" in await ok(box, "read_version", version=0)
    assert "aggregate 1.0000" in await ok(box, "read_version", version=0, part="score")
    assert "There are v0 to v0" in await bad(box, "read_version", version=3)
    assert "the same source" in await ok(box, "diff_versions", old=0, new=0)
    assert "No attempts" in await ok(box, "list_attempts")


async def test_the_way_to_a_version(box: Toolbox, bench: FakeWorkbench) -> None:
    await ok(box, "replace_text", old="speed = 1.00", new="speed = 1.50")
    edit = bench.of(CandidateEdited)[-1]
    assert (edit.added, edit.removed, edit.parent) == (1, 1, 0)
    assert "-const float speed = 1.00;" in await ok(box, "show_diff")
    assert "correct" in await ok(box, "compile") and "correct" in await ok(box, "check")
    assert "aggregate 1.5000" in await ok(box, "evaluate", title="one and a half")
    result = await box.call("submit", {"summary": "half as fast again"})
    assert result.ends_step is not None and result.ends_step.outcome == "committed"
    assert bench.reading.versions()[-1].number == 1


async def test_failures_are_told_with_their_reason(box: Toolbox) -> None:
    await ok(box, "write_file", text=source(3, "WRONG"))
    answer = await ok(box, "evaluate", title="wrong on purpose")
    assert "wrong_result" in answer and "small: WRONG, largest error 4" in answer
    assert "1.1 (from v0) wrong_result" in await ok(box, "list_attempts")
    assert "+const float speed = 3.00;" in await ok(
        box, "read_attempt", step=1, number=1, part="diff"
    )
    assert "off by 4" in await ok(box, "read_attempt", step=1, number=1)
    assert "list_attempts" in await bad(box, "read_attempt", step=1, number=9)


async def test_hidden_configurations_stay_hidden(box: Toolbox) -> None:
    await ok(box, "write_file", text=source(3, "WRONG"))
    for name, arguments in (
        ("check", {}),
        ("evaluate", {"title": "wrong on purpose"}),
        ("read_attempt", {"step": 1, "number": 1}),
    ):
        answer = await ok(box, name, **arguments)
        assert "hidden configurations: at least one WRONG" in answer
        assert "4711" not in answer and "7x13" not in answer


async def test_editing_errors_say_what_to_do(box: Toolbox) -> None:
    assert "at line 3, but" in await bad(box, "replace_text", old="int tile = 16;\nint y;", new="x")
    assert "2 times" in await bad(box, "replace_text", old=" = 1", new="2")
    answer = await bad(box, "replace_text", file="other.cpp", old="a", new="b")
    assert "has no file 'other.cpp'" in answer
    assert "are the same" in await bad(box, "replace_text", old="tile", new="tile")
    assert "only file" in await bad(box, "delete_file", file="kernel.cpp")
    assert "'..'" in await bad(box, "write_file", file="../x.cpp", text="x")
    assert "524288" in await bad(box, "write_file", text="x" * 600_000)
    assert "3 lines" in await bad(box, "read_candidate", first_line=99)
    assert "Nothing changed" in await ok(box, "reset_candidate")


async def test_several_files(box: Toolbox, bench: FakeWorkbench) -> None:
    await ok(box, "write_file", file="more.h", text="int x;")
    assert "Say which file: kernel.cpp, more.h" in await bad(box, "replace_text", old="a", new="b")
    assert "=== more.h" in await ok(box, "read_candidate")
    assert "--- /dev/null" in await ok(box, "show_diff")
    await ok(box, "delete_file", file="more.h")
    assert box.workspace.working.id == box.workspace.parent.id


async def test_knowledge(box: Toolbox) -> None:
    assert "[doc#1]" in await ok(box, "search_knowledge", query="wgmma")
    assert "Nothing found" in await ok(box, "search_knowledge", query="nothing")
    assert "go on with offset 300" in await ok(box, "read_knowledge", id="doc#1", limit=300)
    assert "search_knowledge" in await bad(box, "read_knowledge", id="nope")
    assert "[doc] Doc" in await ok(box, "list_knowledge")


async def test_scratch_and_profile(box: Toolbox) -> None:
    assert "42" in await ok(box, "scratch", files={"a.cpp": "int main(){}"})
    assert "at least one file" in await bad(box, "scratch", files={})
    assert "plain relative" in await bad(box, "scratch", files={"/etc/x": ""})
    assert "no profiler" in await ok(box, "profile")


async def test_calls_are_journalled_and_long_arguments_cut(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    await box.run("c1", "write_file", {"text": "x" * 50_000})
    called, returned = bench.of(ToolCalled)[0], bench.of(ToolReturned)[0]
    assert (called.call, returned.call, returned.ok) == ("c1", "c1", True)
    assert len(called.arguments["text"]) < 3000
    assert returned.ref is not None and bench.reading.fetch(returned.ref)


async def test_the_workspace_is_restored_from_events(box: Toolbox, bench: FakeWorkbench) -> None:
    await ok(box, "set_plan", title="A plan", items=[{"text": "one", "status": "done"}])
    await ok(box, "write_file", text=source(1.5))
    await ok(box, "evaluate", title="one and a half")
    await ok(box, "write_file", text=source(1.7))
    again = Workspace.restore(bench)
    assert again.working.files["kernel.cpp"] == source(1.7)
    assert (again.plan_title, again.plan[0].status) == ("A plan", "done")
    assert list(again.evaluated) == list(box.workspace.evaluated)


async def test_a_plan_is_changed_by_what_is_different(box: Toolbox, bench: FakeWorkbench) -> None:
    assert "no plan yet" in await bad(box, "set_plan", status={"1": "done"})
    await ok(box, "set_plan", title="A plan", items=[{"text": "one"}, {"text": "two"}])
    assert "1 open" in await ok(box, "set_plan", status={"1": "done"})
    assert "already so" in await ok(box, "set_plan", status={"1": "done"})
    assert "There is no item 3" in await bad(box, "set_plan", status={"3": "done"})
    await ok(box, "set_plan", title="Another")
    space = Workspace.restore(bench)
    assert space.plan_title == "Another"
    assert [(i.text, i.status) for i in space.plan] == [("one", "done"), ("two", "todo")]


# -- unified diffs


@given(st.text(alphabet="ab\n", max_size=400), st.integers(20, 200))
def test_cutting_keeps_head_and_tail_and_says_how_much(text: str, limit: int) -> None:
    cut = cut_middle(text, limit, "see there")
    if len(text) <= limit:
        assert cut == text
    else:
        assert f"of {len(text)} characters left out; see there" in cut and len(cut) < limit + 100


async def test_a_source_is_given_as_it_is(box: Toolbox, bench: FakeWorkbench) -> None:
    """What is read can be compiled: no heading stands before a single file."""
    assert await ok(box, "read_version", version=0, part="source") == SEED
    other = source(1.2)
    await ok(box, "write_file", text=other)
    await ok(box, "evaluate", title="a fifth faster")
    assert await ok(box, "read_attempt", step=1, number=1, part="source") == other
    assert "=== kernel.cpp" in await ok(box, "read_version", version=0)


async def test_a_check_names_the_kind_of_inputs() -> None:
    checks = (
        ConfigurationCheck(name="small", ok=True, error=0.5, distribution="normal"),
        ConfigurationCheck(name="small", ok=True, error=0.9, distribution="peaked"),
        ConfigurationCheck(name="hidden", ok=True),
    )
    report = judge(Candidate(files={"kernel.cpp": SEED})).replaced(checks=checks)
    lines = check_lines(report).splitlines()
    assert lines[1] == "  small (normal): ok, largest error 0.5 of the tolerance"
    assert lines[2].startswith("  small (peaked): ok, largest error 0.9")
    assert lines[3] == "  hidden configurations: all ok"


async def test_a_version_carries_its_own_idea_and_the_plan_stays_the_steps(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    """What is committed may be another idea than the one that the step was planned for."""
    plan = {"title": "rows as lanes", "items": [{"text": "transpose first"}]}
    assert (await box.call("set_plan", plan)).ok
    await ok(box, "write_file", text=source(1.2))
    await ok(box, "evaluate", title="fetch the answer's lines ahead")
    await ok(box, "submit", summary="The lines are there when they are written.")
    version = bench.state.versions[1]
    assert version.idea == version.title == "fetch the answer's lines ahead"
    assert version.plan.startswith("rows as lanes")
    bench.begin(2)
    after = Toolbox(bench)
    await ok(after, "write_file", text=source(1.5))
    await ok(after, "evaluate", title="try 7")
    await ok(after, "submit", summary="Fewer loads in all.", idea="keys in\nregisters: fewer loads")
    assert bench.state.versions[2].title == "keys in registers: fewer loads"
    assert "what this candidate changes:\nkeys in registers" in await ok(
        after, "read_version", version=2
    )
    assert "keys in registers" in await ok(after, "list_versions")


async def test_the_candidate_is_read_raw(box: Toolbox) -> None:
    """What is read raw can be written back."""
    text = await ok(box, "read_candidate", raw=True)
    assert text == SEED
    part = await ok(box, "read_candidate", raw=True, first_line=2, last_line=2)
    assert part == SEED.splitlines(keepends=True)[1]
    await ok(box, "write_file", file="more.h", text="int more;\n")
    assert await ok(box, "read_candidate", raw=True, file="more.h") == "int more;\n"
    several = await box.call("read_candidate", {"raw": True})
    assert not several.ok and "Say which file" in several.text


class UnclearAtFirst(FakeWorkbench):
    """Its gate finds a candidate unclear until `clear` pairs were measured, then accepts it."""

    clear = 16
    pairs = 0

    async def submit(
        self,
        attempt: AttemptResult,
        plan: str,
        summary: str,
        built_on: Sequence[Note] = (),
        *,
        idea: str = "",
    ) -> SubmitResult:
        self.pairs = 8 if not self.pairs else self.pairs + 8
        if self.pairs >= self.clear:
            return await super().submit(attempt, plan, summary, built_on, idea=idea)
        self.runs.append("submit")
        decision = GateDecision(
            gate="strict",
            accepted=False,
            reason="unclear",
            outcome="unclear",
            replicates=self.pairs,
        )
        return SubmitResult(decision=decision, reason="unclear")


async def _unclear(clear: int) -> tuple[UnclearAtFirst, Toolbox]:
    bench = UnclearAtFirst()
    bench.clear = clear
    box = Toolbox(bench)
    await ok(box, "write_file", text=source(1.2))
    await ok(box, "evaluate", title="a fifth faster")
    return bench, box


async def test_a_submission_goes_on_until_it_is_settled() -> None:
    bench, box = await _unclear(clear=24)
    once = await ok(box, "submit", summary="a fifth faster, once")
    assert "Not committed" in once and 'submit(until="settled")' in once and bench.pairs == 8
    answer = await ok(box, "submit", summary="a fifth faster, settled", until="settled")
    assert "Committed as v1" in answer and bench.pairs == 24


async def test_a_submission_ends_at_its_limit() -> None:
    bench, box = await _unclear(clear=100)
    summary = "a fifth faster, perhaps"
    answer = await ok(box, "submit", summary=summary, until="settled", most_pairs=13)
    assert "Not committed" in answer and bench.pairs == 16
    answer = await ok(box, "submit", summary=summary, until="settled")
    assert bench.pairs == 32 and "settled" not in answer, "no more pairs may be measured"


async def test_a_submission_evaluates_first_and_says_what_is_wrong(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    await ok(box, "write_file", text=source(3, "WRONG"))
    told = await bad(box, "submit", summary="three times as fast")
    assert "attempt 1.1 is not correct" in told and "off by 4" in told
    await ok(box, "write_file", text=source(1.5))
    answer = await ok(box, "submit", summary="half as fast again", idea="one\nhalf")
    assert "Committed as v1" in answer and bench.evaluations == 2
    assert "other inputs: worst 0.41 × " in answer
    assert bench.state.versions[1].idea == "one half"


async def test_a_best_that_was_left_is_named_beside_that_of_the_line(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    await ok(box, "write_file", text=source(1.5))
    await ok(box, "submit", summary="half as fast again")
    v0, v1 = bench.reading.versions()
    lines = lineage_lines([v0, v1], head=0)
    assert "v1 is the best of all, on a line that was left" in lines[1]
    assert "[head, best]" in lines[2] and "best" not in lines[3]
    assert "left" not in lineage_lines([v0, v1], head=1)[1]
