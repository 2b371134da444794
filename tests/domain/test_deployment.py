from avo_tui.domain.deployment import DeployedShape, DeployedTensor, Setting, settings

Parameters = dict[str, int | bool | float | str]


def shape(size: int, parameters: Parameters) -> DeployedShape:
    tensor = DeployedTensor(name="x", dtype="float32", shape=(size, 4))
    return DeployedShape(
        name=f"s{size}-{len(parameters)}", inputs=(tensor,), outputs=(), parameters=parameters
    )


def test_what_shapes_tell_is_no_setting() -> None:
    shapes = (
        shape(8, {"size": 8, "causal": False, "scale": 1}),
        shape(8, {"size": 8, "causal": True, "scale": 1}),
        shape(16, {"size": 16, "causal": True, "scale": 1}),
    )
    assert settings(shapes) == (Setting(name="causal", kind="bool"),)


def test_as_many_settings_as_it_takes_and_no_more() -> None:
    shapes = tuple(
        shape(8, {"percent": percent, "window": window, "copy": percent})
        for percent in (10, 30)
        for window in (0.5, 2)
    )
    assert settings(shapes) == (
        Setting(name="percent", kind="int"),
        Setting(name="window", kind="float"),
    )


def test_shapes_that_all_differ_need_none() -> None:
    assert settings((shape(8, {"size": 8}), shape(16, {"size": 16}))) == ()
