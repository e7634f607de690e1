"""Put every table and surrogate into the wheel, without recipes and logs."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Map ``data/<table>/`` and ``surrogates/<name>/`` into ``nasbench_tab/_shipped/``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files; an editable install finds them in the checkout instead."""
        if version == "editable":
            return
        root = Path(self.root)
        files = []
        for manifest in sorted(root.glob("data/*/manifest.toml")):
            files += [manifest, manifest.with_name("table.h5")]
        for manifest in sorted(root.glob("surrogates/*/manifest.toml")):
            files += sorted(path for path in manifest.parent.rglob("*") if path.is_file())
        for file in files:
            target = Path("nasbench_tab/_shipped") / file.relative_to(root)
            build_data["force_include"][str(file)] = str(target)
