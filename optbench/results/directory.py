"""A results directory as a whole: its format, configuration, plan, environment and lock."""

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
from optbench.results.atomic import replace_nonfinite, write_bytes, write_json
from optbench.results.checksum import DamagedRecord, seal, unseal
from optbench.results.migration import SCHEMA_VERSION, check_schema, migrate_plan
from optbench.results.plan_record import describe_fault
from optbench.results.store import CellStore

#: The file that describes frozen results (see `results.frozen`); results directories do not have it.
ABOUT = "about.json"


class ResultsDirectory:
    """The folder that `optbench run` fills, such as `results/quick`.

    The constructor reads nothing; `check` raises UserError if the folder is not a results directory.

    Args:
        folder: The results directory, which may not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells = folder / "cells"

    def create(self) -> None:
        """Creates the folder, or checks that an existing one is a results directory with a known schema.

        Raises:
            UserError: The folder has other contents, has an unknown schema, or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / "format.json").exists():
                self._refuse_foreign()
                self._write_format()
        except OSError as error:
            raise UserError(f"cannot write results directory {self.folder}: {error.strerror}") from None
        self.check()

    def check(self) -> None:
        """Raises UserError unless the folder is a results directory with a known schema."""
        if not self.folder.is_dir():
            usual = Path("results") / self.folder.name
            if self.folder.parent == Path() and any((usual / file).exists() for file in ("format.json", ABOUT)):
                raise UserError(f"unknown results directory {str(self.folder)!r}; did you mean {str(usual)!r}?")
            names = [path.parent.name for path in self.folder.parent.glob("*/format.json")]
            raise unknown("results directory", self.folder.name, names, str(self.folder.parent))
        self.schema()

    def schema(self) -> int:
        """Returns the schema version of the directory.

        Raises:
            UserError: The folder is not a results directory, or its schema is unknown.
        """
        try:
            content = json.loads((self.folder / "format.json").read_bytes())
            content["schema"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            if (self.folder / ABOUT).exists():
                raise UserError(
                    f"{self.folder} holds frozen results, which cannot be extended (accepted commands: report, "
                    "compare, recommend, and run --against)"
                ) from None
            raise UserError(f"{self.folder} is not a results directory (format.json is missing or invalid)") from None
        return check_schema(self.folder, content)

    def migrate(self) -> bool:
        """Converts a directory with an earlier schema to the present one; the caller holds the lock.

        The plan is written first: whenever the conversion stops, the folder has a valid earlier or present schema.

        Returns:
            Whether the directory had an earlier schema.
        """
        if self.schema() == SCHEMA_VERSION:
            return False
        if self._read("plan.json"):
            self._write("plan.json", self.plan())
        self._write_format()
        return True

    def _write_format(self) -> None:
        write_json(self.folder / "format.json", {"schema": SCHEMA_VERSION, "optbench": version("optbench")})

    def lock(self) -> AbstractContextManager[Any]:
        """Locks the directory for the duration of a run.

        Raises:
            UserError: Another run holds the lock, or the directory cannot be written.
        """
        try:
            return FileLock(self.folder / ".lock").acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"another run is using {self.folder}; wait until it ends or choose another --name"
            ) from None
        except OSError as error:
            raise UserError(f"cannot write results directory {self.folder}: {error.strerror}") from None

    def clear(self) -> None:
        """Removes what optbench wrote and nothing else; the caller holds the lock.

        Raises:
            UserError: The folder is not a results directory (of any schema), or a file cannot be removed.
        """
        if not (self.folder / "format.json").exists():
            self._refuse_foreign()
        try:
            for name in ("cells", "tables", "plots"):
                if (self.folder / name).exists():
                    shutil.rmtree(self.folder / name)
            for name in ("config.toml", "environment.json", "plan.json", "planes.json", "against.json"):
                (self.folder / name).unlink(missing_ok=True)
            # The format is replaced last: whenever this stops, the folder is still a results directory.
            self._write_format()
        except OSError as error:
            raise UserError(f"cannot clear results directory {self.folder}: {error.strerror}") from None

    def remove_if_empty(self) -> None:
        """Removes the folder if nothing was written to it since `create`; the caller holds the lock."""
        if {path.name for path in self.folder.iterdir()} <= {"format.json", ".lock"}:
            with suppress(OSError):  # some systems cannot remove an open lock file
                shutil.rmtree(self.folder)

    def _refuse_foreign(self) -> None:
        """Raises UserError for a folder without format.json that holds more than an interrupted first write leaves."""
        own = re.compile(r"\.lock|\.format\.json\..*\.tmp")
        foreign = sorted(path.name for path in self.folder.iterdir() if not own.fullmatch(path.name))
        if foreign:
            raise UserError(f"{self.folder} is not a results directory (it holds {foreign[0]} and no format.json)")

    def cell(self, cell_id: str) -> CellStore:
        """Returns the store of one cell, which need not exist yet."""
        return CellStore(self._cells / cell_id)

    def write_config(self, config: Config) -> None:
        """Writes the configuration as config.toml, unless it is there unchanged."""
        text = config.toml().encode()
        path = self.folder / "config.toml"
        if not path.exists() or path.read_bytes() != text:
            write_bytes(path, text)

    def config(self) -> Config:
        """Returns the configuration of the results.

        Raises:
            UserError: config.toml is missing, damaged or invalid.
        """
        path = self.folder / "config.toml"
        try:
            return parse_config(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError):
            raise UserError(f"{self.folder} has no configuration (config.toml is missing or damaged)") from None

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Writes the planned cells and seeds, in the order in which tables list them."""
        if not self.has_plan(plan):
            self._write("plan.json", plan)

    def has_plan(self, plan: dict[str, Any]) -> bool:
        """Whether the directory holds exactly this plan."""
        return bool(self._read("plan.json") == json.loads(json.dumps(replace_nonfinite(plan))))

    def plan(self) -> dict[str, Any]:
        """Returns the plan in the present schema: `seeds`, `studies` and `cells`.

        Raises:
            UserError: plan.json is missing, damaged or invalid.
        """
        plan = self._read("plan.json")
        if not plan:
            raise UserError(f"{self.folder} has no plan (plan.json is missing or damaged)")
        if reason := describe_fault(plan):
            raise UserError(f"invalid plan {self.folder / 'plan.json'}: {reason}")
        return migrate_plan(plan, self.schema(), lambda cell_id: self.cell(cell_id).identity())

    def write_against(self, folder: str | None) -> None:
        """Records which stored results these are compared with (see `baselines.located`); None removes the record."""
        path = self.folder / "against.json"
        if folder is None:
            path.unlink(missing_ok=True)
        elif self.against() != folder:
            self._write("against.json", {"folder": folder})

    def against(self) -> str | None:
        """Returns the stored results that these are compared with, as `write_against` recorded them, or None."""
        folder = self._read("against.json").get("folder")
        return None if folder is None else str(folder)

    def add_planes(self, planes: dict[str, Any]) -> None:
        """Adds the surfaces on which trajectories of two-dimensional problems are drawn, by problem label."""
        known = self.planes()
        if {**known, **planes} != known:
            self._write("planes.json", {**known, **planes})

    def planes(self) -> dict[str, Any]:
        """Returns the surfaces of two-dimensional problems, by problem label (see `add_planes`)."""
        return self._read("planes.json")

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Adds an environment (hardware and versions) under its key; each cell names the one that computed it."""
        known = self.environments()
        if known.get(environment["key"]) != environment or self._environments() != known:
            entries = {**known, environment["key"]: environment}
            write_json(self.folder / "environment.json", {key: seal(entry, key) for key, entry in entries.items()})

    def environments(self) -> dict[str, Any]:
        """Returns the environments by key, except damaged ones."""
        return {key: entry for key, entry in self._environments().items() if entry is not None}

    def _environments(self) -> dict[str, Any]:
        """Returns the environments by key, and None for each damaged one; they are sealed one by one."""
        environments: dict[str, Any] = {}
        for key, entry in self._read("environment.json").items():
            try:
                environments[key] = unseal(entry, key)
            except DamagedRecord:
                environments[key] = None
        return environments

    def find_damage(self) -> str:
        """Returns the first file of the directory itself that is damaged; "" if there is none (see `CellStore`)."""
        for name in ("plan.json", "environment.json", "planes.json", "against.json"):
            if self._load(name) is None:
                return name
        return "environment.json" if None in self._environments().values() else ""

    def _write(self, name: str, record: dict[str, Any]) -> None:
        write_json(self.folder / name, seal(record))

    def _read(self, name: str) -> dict[str, Any]:
        """Returns the content of a JSON file; {} if it is missing or damaged."""
        return self._load(name) or {}

    def _load(self, name: str) -> dict[str, Any] | None:
        """Returns the content of a JSON file; {} if it is missing, and None if it is damaged."""
        try:
            return unseal(json.loads((self.folder / name).read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            return None
