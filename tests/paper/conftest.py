"""The fixtures of tests/experiments, for the tests that read finished plans."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[1] / "experiments" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("suraksha_plan_fixtures", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

write_plan, make_image, counted = _MODULE.write_plan, _MODULE.make_image, _MODULE.counted
