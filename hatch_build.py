"""Put every table into the wheel: what a user needs of data/, without the recipes."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Map ``data/<table>/`` to ``nasbench_tab/_shipped/data/<table>/``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files; an editable install finds them in the checkout instead."""
        if version == "editable":
            return
        root = Path(self.root)
        for manifest in sorted(root.glob("data/*/manifest.toml")):
            for file in (manifest, manifest.with_name("table.h5")):
                target = Path("nasbench_tab/_shipped") / file.relative_to(root)
                build_data["force_include"][str(file)] = str(target)
