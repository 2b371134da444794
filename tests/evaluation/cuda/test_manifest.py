import pytest

from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts, LaunchPlan, TensorSpec
from avo_tui.evaluation.backends.cuda.manifest import (
    ManifestError,
    dotted,
    line_of,
    parse,
    undotted,
)
from avo_tui.evaluation.backends.cuda.resolve import Origin, resolve
from tests.evaluation.cuda.cuda_helpers import CANDIDATES

HOPPER = DeviceFacts.of_architecture("sm_90a")
NAMES = {"BATCH": 2, "SEQ": 512, "HEADS": 4, "HEAD_DIM": 128, "CAUSAL": 0, "SCALE": 0.088}
TENSORS = [
    TensorSpec(name="q", dtype="bf16", shape=(2, 512, 4, 128)),
    TensorSpec(name="o", dtype="bf16", shape=(2, 512, 4, 128), output=True),
]
WHOLE = """
source = "attention.cu"
macros = { BM = 128, FAST = true, MODE = "x4" }

[kernels.first]
params = [{ map = "q" }, { workspace = "sums", offset = 16 }, { f32 = "SCALE * 2" }]

[kernels.second]
params = [
  { tensor = "o", offset = "HEAD_DIM" },
  { u64 = "SEQ * SEQ" },
]

[tensor_maps.q]
tensor = "q"
box = [64, 1, "BM", 1]
swizzle = "128B"

[workspace.sums]
bytes = "BATCH * HEADS * SEQ * 4"
zero = true

[[stages]]
entry = "first"
grid = ["ceil_div(SEQ, BM)", "HEADS", "BATCH"]
block = [384]
cluster = [2]
shared_memory = "BM * 256 * 3"

[[stages]]
entry = "second"
grid = ["SMS"]
block = [32, 4]
programmatic = true

[[variants]]
when = "CAUSAL and SEQ >= 1024"
macros = { BM = 64 }

[[variants]]
when = "CAUSAL"
macros = { BM = 192 }
"""


def plan(text: str, **names: int) -> LaunchPlan:
    manifest = parse(text)
    origin = Origin(text, configuration="c")
    return resolve(manifest, {**NAMES, **names}, TENSORS, HOPPER, origin=origin)


def refusal(text: str, **names: int) -> str:
    with pytest.raises(ManifestError) as caught:
        plan(text, **names)
    return caught.value.lines()[0]


def test_a_whole_manifest_resolves() -> None:
    found = plan(WHOLE)
    first, second = found.stages
    assert found.variant is None
    assert (first.grid, first.block, first.cluster) == ((4, 4, 2), (384, 1, 1), (2, 1, 1))
    assert first.shared_memory == 128 * 256 * 3
    assert [p.kind for p in first.params] == ["map", "pointer", "f32"]
    assert first.params[1].value == 16
    assert first.params[2].value == pytest.approx(0.176)
    assert second.params[0].value == 256  # elements of two bytes
    assert second.params[1].value == 512 * 512
    assert second.grid == (132, 1, 1)
    assert second.programmatic
    described = found.maps["q"]
    assert described.dims == (128, 4, 512, 2)
    assert described.strides == (256, 1024, 512 * 1024)
    assert described.box == (64, 1, 128, 1)
    assert found.workspaces["sums"].bytes == 2 * 4 * 512 * 4
    assert found.workspaces["sums"].zero


@pytest.mark.parametrize(
    ("names", "variant", "blocks"),
    [({"CAUSAL": 0}, None, 4), ({"CAUSAL": 1}, 1, 4), ({"CAUSAL": 1, "SEQ": 1024}, 0, 16)],
)
def test_the_first_variant_that_holds_is_used(
    names: dict[str, int], variant: int | None, blocks: int
) -> None:
    text = WHOLE.replace("cluster = [2]\n", "")
    tensors = [t.model_copy(update={"shape": (2, 1024, 4, 128)}) for t in TENSORS]
    found = resolve(parse(text), {**NAMES, **names}, tensors, HOPPER)
    assert found.variant == variant
    expected = blocks if variant != 1 else 3
    assert found.stages[0].grid[0] == expected


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("BM = 128,", "SEQ = 128,", "macros: macro SEQ is 128, but SEQ is 512"),
        ('map = "q"', 'map = "k"', "launch.toml:6: kernels.first.params[0].map"),
        ('workspace = "sums"', 'workspace = "q"', "there is no 'q'"),
        ("offset = 16", "offset = 99999999", "must be from 0 to"),
        ('"BM", 1]', '"BM * 4", 1]', "tensor_maps.q.box[2]: 'BM * 4' is 512"),
        ("box = [64,", "box = [128,", "swizzle 128B allows at most 128"),
        ("box = [64,", "box = [4,", "multiple of 16"),
        ("box = [64, 1,", "box = [64,", "has 3 entries; dims has 4"),
        ('tensor = "q"\nbox', 'tensor = "sums"\nbox', "tensor_maps.q.dtype"),
        ('tensor = "q"\nbox', 'tensor = "q"\noffset = 4\nbox', "multiple of 16"),
        ('tensor = "q"\nbox', 'tensor = "q"\noffset = 8\nbox', "the view ends at byte"),
        ('tensor = "q"\nbox', 'tensor = "q"\ndims = [128, 4]\nstrides = [12]\nbox', "stride"),
        ("cluster = [2]", "cluster = [3]", "do not divide into clusters of 3"),
        ("cluster = [2]", "cluster = [4, 4, 2]", "the limit is 16"),
        ("block = [384]", "block = [2048]", "stages[0].block[0]: 2048; it must be from 1 to 1024"),
        ("block = [384]", "block = [64, 64]", "has 4096 threads"),
        ("BM * 256 * 3", "BM * 4096", "stages[0].shared_memory"),
        ("HEADS * SEQ * 4", "HEADS * SEQ * 400000", "must be from 1 to 1073741824"),
        ("block = [32, 4]", "block = [32, 4]\ncooperative = 1", "cooperative"),
        ('entry = "second"', 'entry = "third"', "has no parameters"),
        ('when = "CAUSAL"', 'when = "CAUSL"', "variants[1].when"),
        ('grid = ["SMS"]', "grid = [0]", "stages[1].grid[0]: 0"),
        ("block = [384]\n", "block = [384]\nprogrammatic = true\n", "no stage before it"),
        ('{ tensor = "o", offset = "HEAD_DIM" },', "", "no stage is given the output 'o'"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, said: str) -> None:
    assert old in WHOLE
    line = refusal(WHOLE.replace(old, new))
    assert said in line
    assert line.startswith("launch.toml")


def test_lines_are_those_of_the_field() -> None:
    text = WHOLE.replace("block = [384]", "block = [2048]")
    expected = text.splitlines().index("block = [2048]") + 1
    assert refusal(text).startswith(f"launch.toml:{expected}: stages[0].block[0]")


def test_every_misspelling_is_named_at_once() -> None:
    text = WHOLE.replace("swizzle", "swizle").replace("zero = true", "zero = 3")
    with pytest.raises(ManifestError) as caught:
        parse(text)
    said = "\n".join(caught.value.lines())
    assert "tensor_maps.q.swizle: is not a field" in said
    assert "workspace.sums.zero" in said


@pytest.mark.parametrize(
    ("text", "file", "said"),
    [
        ("a = [", "launch.toml", "launch.toml"),
        ('{"stages": [}', "launch.json", "launch.json:1"),
        ('{"stages": []}', "launch.json", "stages"),
        ("[" * 5000, "launch.json", "launch.json"),
    ],
)
def test_text_that_is_no_manifest(text: str, file: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        parse(text, file)


def test_json_says_the_same_as_toml() -> None:
    body = (
        '{"kernels": {"k": {"params": [{"tensor": "o"}]}},'
        ' "stages": [{"entry": "k", "grid": [1], "block": [32]}]}'
    )
    found = resolve(parse(body, "launch.json"), NAMES, TENSORS, HOPPER)
    assert found.stages[0].entry == "k"


def test_sixty_five_stages_are_too_many() -> None:
    stage = '[[stages]]\nentry = "k"\ngrid = [1]\nblock = [1]\n'
    with pytest.raises(ManifestError, match="at most 64"):
        parse("[kernels.k]\nparams = []\n" + stage * 65)


def test_paths_and_lines() -> None:
    assert undotted(dotted(("stages", 0, "grid", 1))) == ("stages", 0, "grid", 1)
    text = (CANDIDATES / "default.toml").read_text()
    for path, word in ((("stages", 0, "grid", 0), "grid"), (("variants", 0, "when"), "when")):
        line = line_of(text, path)
        assert line is not None
        assert text.splitlines()[line - 1].startswith(word)
    assert line_of(text, ("nothing",)) is None


def test_clusters_need_hopper() -> None:
    with pytest.raises(ManifestError, match="sm_90 or later"):
        resolve(parse(WHOLE), NAMES, TENSORS, DeviceFacts.of_architecture("sm_80"))


WEIGHTS = [
    TensorSpec(name="w", dtype="f16", shape=(256, 256), weight=True),
    TensorSpec(name="x", dtype="f16", shape=(8, 256)),
    TensorSpec(name="o", dtype="f16", shape=(8, 256), output=True),
]
PREPARED = """
[workspace.packed]
bytes = 4096
persistent = true

[workspace.sums]
bytes = 64

[tensor_maps.x]
tensor = "x"
box = [64, 8]

[kernels.pack]
params = [{ tensor = "w" }, { workspace = "packed" }]

[kernels.run]
params = [{ workspace = "packed" }, { tensor = "x" }, { tensor = "o" }]

[[prepare]]
entry = "pack"
grid = [2]
block = [64]

[[stages]]
entry = "run"
grid = [1]
block = [32]
"""


def prepared(text: str) -> LaunchPlan:
    return resolve(parse(text), {}, WEIGHTS, HOPPER, origin=Origin(text))


def unprepared(old: str, new: str) -> str:
    assert old in PREPARED
    with pytest.raises(ManifestError) as caught:
        prepared(PREPARED.replace(old, new))
    return caught.value.lines()[0]


def test_prepare_stages_are_planned_apart_from_the_timed_ones() -> None:
    found = prepared(PREPARED)
    assert [s.entry for s in found.prepare] == ["pack"]
    assert [s.entry for s in found.stages] == ["run"]
    assert [s.entry for s in found.launches] == ["pack", "run"]
    assert found.workspaces["packed"].persistent
    assert not found.workspaces["sums"].persistent


@pytest.mark.parametrize(
    ("given", "named"),
    [('tensor = "x"', "'x'"), ('tensor = "o"', "'o'"), ('map = "x"', "'x'"),
     ('workspace = "sums"', "'sums'")],
)  # fmt: skip
def test_a_prepare_stage_sees_weights_and_persistent_workspaces_only(
    given: str, named: str
) -> None:
    reason = unprepared('{ tensor = "w" }', f"{{ {given} }}")
    assert "prepare[0]" in reason
    assert named in reason
    assert "packed, w" in reason


def test_a_persistent_workspace_must_be_filled_by_a_prepare_stage() -> None:
    assert "no prepare stage" in unprepared(
        '[{ tensor = "w" }, { workspace = "packed" }]', '[{ tensor = "w" }]'
    )


def test_a_persistent_workspace_cannot_be_zeroed_when_timed() -> None:
    assert "exclude each other" in unprepared("persistent = true", "persistent = true\nzero = true")


def test_a_variant_may_prepare_otherwise() -> None:
    other = (
        '[[variants]]\nwhen = true\n[[variants.prepare]]\nentry = "pack"\ngrid = [7]\nblock = [1]'
    )
    assert [s.grid[0] for s in prepared(PREPARED + other).prepare] == [7]
