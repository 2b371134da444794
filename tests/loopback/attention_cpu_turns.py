"""What an agent might say and do in three steps on `attention_cpu`: written by hand."""

from __future__ import annotations

from avo_tui.domain import memory
from tests.loopback.server import Answer, Body, text, tool


def items(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"text": t, "status": s} for t, s in pairs]


def tune(name: str, old: int, new: int) -> Body:
    return tool(
        "replace_text", old=f"constexpr int {name} = {old};", new=f"constexpr int {name} = {new};"
    )


NEXT_LIMITS = (
    "Next limits: std::exp is a scalar libm call per score, and row by row every key and value is"
    " loaded once per query. Tiles with packed keys would reuse them."
)

SUM = """inline float sum(const Vector& value) {
    float total = 0;
    for (int i = 0; i < VECTOR; ++i) total += lane(value, i);
    return total;
}"""

SUM_WRONG = """inline float sum(const Vector& value) {
    if constexpr (VECTOR == 1) return value;
    Vector half = value + __builtin_shufflevector(value, value, 4, 5, 6, 7, 0, 1, 2, 3);
    Vector quarter = half + __builtin_shufflevector(half, half, 2, 3, 0, 1, 6, 7, 4, 5);
    return quarter[0] + quarter[1];
}"""

SUM_RIGHT = """inline float sum(const Vector& value) {
    float x[VECTOR];
    store(x, value);
    for (int width = VECTOR / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) x[i] += x[i + width];
    return x[0];
}"""

SEEN = "const int64_t seen = std::max<int64_t>(0, h.seen(begin + i, first + keys) - first);"
SEEN_TABLE = """#include <algorithm>
#include <cstdio>

// Row by row: keys that are computed with SKIP_FUTURE, and keys that a causal row may see.
int main() {
    const int length = 3, rows = 3, begin = 0;
    const int needed = std::min(begin + rows, length);
    for (int i = 0; i < rows; ++i)
        std::printf("row %d: computed %d, may see %d%s\\n", i, needed, begin + i + 1,
                    needed > begin + i + 1 ? "  <- sees the future" : "");
}
"""

UNMASKED = "const int64_t seen = keys;  // what lies in the future is not computed at all"

FIRST = [
    Answer(
        [
            text(
                "The seed computes row by row with scalar arithmetic: VECTOR is 1, so each dot"
                " product of 64 is a chain of 64 dependent additions, and the compiler may not"
                " reorder them. That is latency bound, one multiply-add in four cycles at best,"
                " while this processor can start two of eight lanes in each. I look at what the"
                " compiler made of it before I touch anything."
            ),
            tool(
                "set_plan",
                title="Eight lanes instead of one: 5 to 8× on all configurations, because the"
                " dependent scalar chain becomes eight independent ones",
                items=items(
                    ("count the fused multiply-adds in the seed", "doing"),
                    ("VECTOR 1 → 8", "todo"),
                    ("horizontal sum in log2(8) steps instead of eight", "todo"),
                    ("evaluate and submit", "todo"),
                ),
            ),
            tool("compile"),
            tool(
                "search_knowledge", query="CPU vector lanes latency fused multiply-add dot product"
            ),
        ]
    ),
    Answer(
        [
            text(
                "As expected there is hardly a 256-bit instruction in the loop. I widen the vectors"
                " to eight floats. The dot product then ends in a horizontal sum for every key,"
                " eight dependent additions in the present code; I replace them by shuffles, three"
                " steps."
            ),
            tune("VECTOR", 1, 8),
            tool("replace_text", old=SUM, new=SUM_WRONG),
            tool("compile"),
        ]
    ),
    Answer(
        [
            text(
                "The first error is the one that matters: outside a template both branches of `if"
                " constexpr` are type-checked, so returning the vector as a float cannot compile."
                " Fixed shuffle indices would also tie the function to eight lanes while VECTOR is"
                " meant to vary. Halving through a small array says the same for any width, and the"
                " compiler turns it into shuffles by itself."
            ),
            tool("replace_text", old=SUM_WRONG, new=SUM_RIGHT),
            tool("compile"),
        ]
    ),
    Answer(
        [
            text("It compiles. The check is cheap, the evaluation is not, so first the check."),
            tool("check"),
        ]
    ),
    Answer([tool("evaluate", title="vectors of eight, horizontal sum by halves")]),
    Answer(
        [
            text(
                "The mechanism holds. What remains is a libm call for every score and a pass over"
                " all keys for every single query: nothing that was loaded is used twice."
            ),
            tool(
                "remember",
                category="worked",
                text="VECTOR 8 with a horizontal sum by halves: the seed was bound by the latency"
                " of scalar additions. Both products now use 256-bit multiply-adds.",
            ),
            tool(
                "remember",
                category="idea",
                text=NEXT_LIMITS,
            ),
            tool(
                "set_plan",
                title="Eight lanes instead of one: 5 to 8× on all configurations, because the"
                " dependent scalar chain becomes eight independent ones",
                items=items(
                    ("count the fused multiply-adds in the seed", "done"),
                    ("VECTOR 1 → 8", "done"),
                    ("horizontal sum in log2(8) steps instead of eight", "done"),
                    ("evaluate and submit", "doing"),
                ),
            ),
            tool(
                "submit",
                summary="Vectors of eight floats and a horizontal sum by halves.\nThe scalar chain"
                " of dependent additions was the limit; eight lanes run side by side. All"
                " configurations gain.",
            ),
        ]
    ),
]


def tiles(*states: str) -> Body:
    """The plan of the second step, as it stands."""
    what = (
        "ALGORITHM 2 with packed keys, tiles of 24 × 64",
        "exponential as a polynomial of degree 6",
        "skip tiles that the causal mask hides",
        "drop the mask where it is not needed any more",
        "check, evaluate, submit",
    )
    return tool(
        "set_plan",
        title="Tiles with online softmax, polynomial exponential, no work in the future: 2× on"
        " full, more on causal",
        items=items(*zip(what, states, strict=True)),
    )


SECOND = [
    Answer(
        [
            text(
                "Three things are left on the table: scalar exponentials, no reuse of keys and"
                " values across queries, and half of the causal work is thrown away. The tiled"
                " algorithm with an online softmax addresses all three at once. I change the"
                " structure in this step and leave the register blocking small, so that the result"
                " can be attributed."
            ),
            tool("list_attempts", rejected_only=False),
            tiles("doing", "todo", "todo", "todo", "todo"),
        ]
    ),
    Answer(
        [
            tune("ALGORITHM", 0, 2),
            tune("TILE_Q", 8, 24),
            tune("TILE_K", 32, 64),
            tune("ROWS", 1, 2),
            tune("EXPONENTIAL", 0, 1),
            tune("PACK_K", 0, 1),
            tune("SKIP_FUTURE", 0, 1),
            tune("SCALE_Q", 0, 1),
        ]
    ),
    Answer(
        [
            text(
                "With SKIP_FUTURE no key of the future is computed, so the bookkeeping of seen keys"
                " per row looks redundant. Without it the loop over rows has no data-dependent"
                " bounds. I take it out."
            ),
            tool("replace_text", old=SEEN, new=UNMASKED),
            tiles("done", "done", "done", "doing", "todo"),
            tool("compile"),
        ]
    ),
    Answer([tool("evaluate", title="tiled online softmax, polynomial exp, no mask per row")]),
    Answer(
        [
            text(
                "Wrong in a hidden configuration, one with a very short sequence, and by far more"
                " than rounding. Packing and the polynomial could spoil a tail, but the one thing"
                " that I *removed* is the mask, and I was quick about it. I write down what a short"
                " causal tile computes and what it may see, instead of guessing."
            ),
            tool("scratch", files={"seen.cpp": SEEN_TABLE}),
            tool("read_candidate", first_line=183, last_line=256),
        ]
    ),
    Answer(
        [
            text(
                "The table shows it. `needed(last)` is what the *last* row of a tile may see, so"
                " the rows before it get keys of their future computed; only tiles that lie in the"
                " future of the whole tile of queries are skipped. On the diagonal the count of"
                " seen keys per row is what makes the kernel causal, in every sequence and not only"
                " in short ones. The line goes back in, and the check must pass before I spend"
                " another evaluation."
            ),
            tool("replace_text", old=UNMASKED, new=SEEN),
            tiles("done", "done", "done", "dropped", "doing"),
            tool("check"),
        ]
    ),
    Answer(
        [
            tool(
                "remember",
                category="failed",
                text="SKIP_FUTURE does not replace the causal mask: it skips by the last row of a"
                " query tile, so rows before it still see keys of their future on the diagonal."
                " Keep the count of seen keys per row.",
            ),
            tool("evaluate", title="tiled online softmax, polynomial exp, mask kept"),
        ]
    ),
    Answer(
        [
            text(
                "Correct, and faster on all four, the causal ones most: there the skipped tiles"
                " add to the reuse."
            ),
            tool(
                "submit",
                summary="Tiles of 24 queries × 64 keys with online softmax, packed keys, polynomial"
                " exp.\nKeys and values are reused across a tile, exponentials run eight at a time,"
                " and causal rows skip tiles of the future. The mask on the diagonal stays.",
                built_on=[memory.new_id("idea", NEXT_LIMITS, ())],
            ),
        ]
    ),
]

THIRD = [
    Answer(
        [
            text(
                "Now the inner products. A block of 2 rows × 1 vector has two accumulators, but a"
                " multiply-add takes four cycles and two start in each: eight independent ones are"
                " needed to keep the units busy. There are sixteen registers. Per step of the depth"
                " R rows × C vectors cost C loads and R broadcasts for R·C multiply-adds, so bigger"
                " is better until it spills."
            ),
            tool("diff_versions", old=1, new=2),
            tool(
                "set_plan",
                title="Larger register blocks: 1.8× on all, limited by sixteen vector registers",
                items=items(
                    ("8 rows × 2 vectors: most reuse", "doing"),
                    ("6 rows × 2 vectors: fits the registers", "todo"),
                    ("evaluate the better, submit", "todo"),
                ),
            ),
        ]
    ),
    Answer(
        [
            tune("ROWS", 2, 8),
            tune("COLUMNS_S", 1, 2),
            tune("COLUMNS_O", 1, 2),
            tool("compile"),
        ]
    ),
    Answer(
        [
            text(
                "Sixteen accumulators, two vectors of the right operand and a broadcast: nineteen"
                " values for sixteen registers, and the vector stack moves show it. I measure it"
                " all the same, to know what a spill costs here."
            ),
            tool("evaluate", title="register blocks of 8 × 2, which spill"),
        ]
    ),
    Answer(
        [
            text(
                "Now six rows: twelve accumulators, two loads, one broadcast, fifteen registers in"
                " all. I also rescale only when a row's maximum has grown, which for most tiles it"
                " has not."
            ),
            tune("ROWS", 8, 6),
            tune("LAZY_RESCALE", 0, 1),
            tool("compile"),
        ]
    ),
    Answer([tool("check"), tool("evaluate", title="register blocks of 6 × 2, lazy rescaling")]),
    Answer(
        [
            text(
                "Six by two it is. The larger block had more reuse on paper and lost it to the"
                " stack. I note both, since the next processor may have thirty-two registers."
            ),
            tool(
                "remember",
                category="worked",
                text="Register blocks of 6 rows × 2 vectors fill 15 of the 16 registers. 8 × 2"
                " needs 19 and moves vectors through the stack.",
            ),
            tool(
                "set_plan",
                title="Larger register blocks: 1.8× on all, limited by sixteen vector registers",
                items=items(
                    ("8 rows × 2 vectors: most reuse", "dropped"),
                    ("6 rows × 2 vectors: fits the registers", "done"),
                    ("evaluate the better, submit", "doing"),
                ),
            ),
            tool(
                "submit",
                summary="Register blocks of 6 rows × 2 vectors, rescaling only when the maximum"
                " grows.\nTwelve independent accumulators keep both multiply-add units busy; 8 × 2"
                " spilled.",
            ),
        ]
    ),
]

STEPS = [FIRST, SECOND, THIRD]
