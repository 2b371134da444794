"""The toolbox: the tools that an operator works with, the same for every caller."""

from avo_tui.operators.ports import StepOutcome
from avo_tui.operators.toolbox.box import ALL_TOOLS, Toolbox, ToolSpec, bounded, check_arguments
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.tool import RESULT_LIMIT, ToolResult, cut_middle
from avo_tui.operators.toolbox.workspace import Workspace

ToolResult.model_rebuild(_types_namespace={"StepOutcome": StepOutcome})

__all__ = [
    "ALL_TOOLS",
    "RESULT_LIMIT",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "Toolbox",
    "Workspace",
    "bounded",
    "check_arguments",
    "cut_middle",
]
