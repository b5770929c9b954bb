"""Makes `pipeline_data`, which the tests of SFT and RL share, importable here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "rl"))
