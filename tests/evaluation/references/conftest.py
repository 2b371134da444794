import json

import pytest

from avo_tui.evaluation.references import adopting
from avo_tui.evaluation.references.deriving import Wishes, derive
from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.spec import ReferenceSpec
from avo_tui.evaluation.sandbox.run import Sandbox


@pytest.fixture
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """References are derived in the test's own process: another would import torch for seconds.

    For tests of what is derived; that it runs confined, and comes back the same, others show.
    """

    async def here(
        text: str,
        wishes: Wishes,
        sandbox: Sandbox,
        companions: Companions | None = None,
        progress: adopting.TellStage = lambda text: None,
    ) -> ReferenceSpec:
        reference = read(text, wishes.origin, companions=companions)
        form = derive(reference, wishes, progress).model_dump(mode="json")
        return ReferenceSpec.model_validate(json.loads(json.dumps(form)))

    monkeypatch.setattr(adopting, "derive", here)
