"""A results directory as a whole: its format, configuration, environment and lock."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import AbstractContextManager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from optbench.config.load import parse_config
from optbench.config.schema import Config
from optbench.errors import UserError, unknown
from optbench.results.atomic import finite, write_bytes, write_json
from optbench.results.migration import SCHEMA_VERSION, check_schema, migrated_plan
from optbench.results.plan_record import fault
from optbench.results.store import CellStore

#: What describes frozen results (see `results.frozen`), and so tells their folder from a results directory.
ABOUT = "about.json"


class ResultsDirectory:
    """The folder that a `run` fills. Opening one that isn't a results directory raises UserError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells = folder / "cells"

    def create(self) -> None:
        """Makes the folder, or checks that the present one is a results directory of a known schema."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / "format.json").exists():
                self._refuse_foreign()
                self._write_format()
        except OSError as error:
            raise UserError(f"results directory {self.folder} can't be written: {error.strerror}") from None
        self.check()

    def check(self) -> None:
        """Raises UserError unless this is a results directory of a known schema."""
        if not self.folder.is_dir():
            there = [path.parent.name for path in self.folder.parent.glob("*/format.json")]
            raise UserError(f"{unknown('results directory', self.folder.name, there)} in {self.folder.parent}")
        self.schema()

    def schema(self) -> int:
        """The version of the layout; raises UserError for an unknown one."""
        try:
            found = json.loads((self.folder / "format.json").read_bytes())
            found["schema"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            if (self.folder / ABOUT).exists():
                raise UserError(
                    f"{self.folder} holds frozen results, which are complete and can't be added to (accepted for them: "
                    "report, compare, recommend and --against)"
                ) from None
            raise UserError(f"{self.folder} is no results directory (it has no proper format.json)") from None
        return check_schema(self.folder, found)

    def migrate(self) -> bool:
        """Brings a directory of an earlier schema to the present one, and says whether it was one; the lock is held.

        The plan comes first: whenever this stops, the folder is one of the earlier schema, or of the present.
        """
        if self.schema() == SCHEMA_VERSION:
            return False
        if self._read("plan.json"):
            write_json(self.folder / "plan.json", self.plan())
        self._write_format()
        return True

    def _write_format(self) -> None:
        write_json(self.folder / "format.json", {"schema": SCHEMA_VERSION, "optbench": version("optbench")})

    def lock(self) -> AbstractContextManager[Any]:
        """Held by a run for as long as it lasts; raises UserError where another one holds it."""
        try:
            return FileLock(self.folder / ".lock").acquire(timeout=0)
        except Timeout:
            raise UserError(f"another run is filling {self.folder}; wait for it, or choose another --name") from None
        except OSError as error:
            raise UserError(f"results directory {self.folder} can't be written: {error.strerror}") from None

    def clear(self) -> None:
        """Removes what optbench wrote, and nothing else; the lock is held meanwhile.

        Raises UserError for a folder that is no results directory, of whatever schema.
        """
        if not (self.folder / "format.json").exists():
            self._refuse_foreign()
        try:
            for name in ("cells", "tables", "plots"):
                if (self.folder / name).exists():
                    shutil.rmtree(self.folder / name)
            for name in ("config.toml", "environment.json", "plan.json", "planes.json", "against.json"):
                (self.folder / name).unlink(missing_ok=True)
            # Replaced at last: whenever this stops, the folder is still known as a results directory.
            self._write_format()
        except OSError as error:
            raise UserError(f"results directory {self.folder} can't be cleared: {error.strerror}") from None

    def withdraw(self) -> None:
        """Removes the folder again, if nothing was written to it since `create`; the lock is held meanwhile."""
        if {path.name for path in self.folder.iterdir()} <= {"format.json", ".lock"}:
            with suppress(OSError):  # an open lock file can't be removed everywhere
                shutil.rmtree(self.folder)

    def _refuse_foreign(self) -> None:
        """Raises UserError for a folder without a format that holds more than a first write would leave."""
        ours = re.compile(r"\.lock|\.format\.json\..*\.tmp")
        foreign = sorted(path.name for path in self.folder.iterdir() if not ours.fullmatch(path.name))
        if foreign:
            raise UserError(f"{self.folder} is no results directory (it holds {foreign[0]} and no format.json)")

    def cell(self, cell_id: str) -> CellStore:
        return CellStore(self._cells / cell_id)

    def write_config(self, config: Config) -> None:
        text = config.toml().encode()
        path = self.folder / "config.toml"
        if not path.exists() or path.read_bytes() != text:
            write_bytes(path, text)

    def config(self) -> Config:
        path = self.folder / "config.toml"
        try:
            return parse_config(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError):
            raise UserError(f"{self.folder} holds no configuration yet (config.toml is missing or damaged)") from None

    def write_plan(self, plan: dict[str, Any]) -> None:
        """The planned cells and seeds, in order: what the tables are made of."""
        if not self.has_plan(plan):
            write_json(self.folder / "plan.json", plan)

    def has_plan(self, plan: dict[str, Any]) -> bool:
        """Whether this is the plan that lies here."""
        return bool(self._read("plan.json") == json.loads(json.dumps(finite(plan))))

    def plan(self) -> dict[str, Any]:
        plan = self._read("plan.json")
        if not plan:
            raise UserError(f"{self.folder} holds no plan yet (plan.json is missing or damaged)")
        if reason := fault(plan):
            raise UserError(f"{self.folder / 'plan.json'} is no plan: {reason}")
        return migrated_plan(plan, self.schema(), lambda cell_id: self.cell(cell_id).identity())

    def write_against(self, folder: str | None) -> None:
        """Notes the stored results beside which these are reported; none with None."""
        path = self.folder / "against.json"
        if folder is None:
            path.unlink(missing_ok=True)
        elif self.against() != folder:
            write_json(path, {"folder": folder})

    def against(self) -> str | None:
        """The stored results beside which these are reported, if any."""
        found = self._read("against.json").get("folder")
        return None if found is None else str(found)

    def add_planes(self, planes: dict[str, Any]) -> None:
        """Adds, by problem label, what the trajectory plots of two-dimensional problems are drawn on."""
        known = self.planes()
        if {**known, **planes} != known:
            write_json(self.folder / "planes.json", {**known, **planes})

    def planes(self) -> dict[str, Any]:
        return self._read("planes.json")

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Adds an environment under its key; cells name the one in which they were computed."""
        known = self.environments()
        if known.get(environment["key"]) != environment:
            write_json(self.folder / "environment.json", {**known, environment["key"]: environment})

    def environments(self) -> dict[str, Any]:
        return self._read("environment.json")

    def _read(self, name: str) -> dict[str, Any]:
        """What a JSON file holds; nothing where it is missing or damaged."""
        try:
            value = json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}
