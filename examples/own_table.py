"""Your own table: a CSV file with categories and missing values, and a small network that predicts one column.

    python examples/own_table.py [FOLDER]

Shows how a table becomes tensors, with everything that is estimated (means, deviations, medians) taken from the
training part alone, and which optimizer to use for it. The script writes its own table of 300 flats, FOLDER/flats.csv.
7 paired seeds, no network access. Results are kept in FOLDER (default: results); a second call trains nothing.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import optbench

NUMBERS, DISTRICTS = ["area", "rooms", "age"], ["harbour", "hill", "old town"]


def write(file: Path, rows: int = 300) -> None:
    """Writes made-up flats; a tenth of the ages are missing."""
    random = np.random.RandomState(0)
    area, age = random.uniform(30, 150, rows).round(), random.uniform(0, 90, rows).round()
    rooms, district = (area / 30).round() + random.randint(0, 2, rows), random.choice(DISTRICTS, rows)
    price = area * np.select([district == "harbour", district == "hill"], [4, 6], 5) - 2 * age
    age[random.uniform(size=rows) < 0.1] = np.nan
    table = pd.DataFrame({"area": area, "rooms": rooms, "age": age, "district": district, "price": price.round()})
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False)


@dataclass(frozen=True)
class Flats(optbench.Problem):
    """The price of a flat, in hundreds of thousands; the file is written by examples/own_table.py."""

    name = "flats"
    batch_sizes = (20,)
    run_budget = "20epochs"
    metric_name = "mean absolute error"
    metric_higher_is_better = False

    file: str = "flats.csv"

    @property
    def files(self):
        return [self.file]  # its content is part of the problem: an edited table is another problem

    def load_data(self, source):
        table = pd.read_csv(self.file)
        categories = np.stack([table["district"] == name for name in DISTRICTS], axis=1)  # a column for each
        x = torch.from_numpy(np.hstack([table[NUMBERS], table[NUMBERS].isna(), categories])).float()
        y = torch.from_numpy(table["price"].to_numpy()).float() / 100
        # The rows are split first. What is estimated from rows then comes from the training part alone.
        data = optbench.Data.split(x, y, valid=0.2, test=0.2)
        median = data.train[0].nanmedian(dim=0).values
        # A missing number becomes the median; another column holds that it was missing.
        filled = [torch.where(part[0].isnan(), median, part[0]) for part in (data.train, data.valid, data.test)]
        mean, deviation = filled[0].mean(dim=0), filled[0].std(dim=0).clip(min=1e-6)
        labels = (data.train[1], data.valid[1], data.test[1])
        return optbench.Data(*(((part - mean) / deviation, y) for part, y in zip(filled, labels, strict=True)))

    def model(self):
        return nn.Sequential(nn.Linear(2 * len(NUMBERS) + len(DISTRICTS), 16), nn.ReLU(), nn.Linear(16, 1))

    def loss(self, model, batch):
        return nn.functional.mse_loss(model(batch[0]).squeeze(1), batch[1])

    def metric(self, model, batch):
        return (model(batch[0]).squeeze(1) - batch[1]).abs().mean()


def main(results: Path, seeds: int = 7, run_budget: str = "20epochs", tuning_worth: float = 6, engine="processes"):
    write(results / "flats.csv")
    problem = f'{Path(__file__).as_posix()}:Flats[file="{(results / "flats.csv").as_posix()}"]'
    print(*optbench.check(problem), sep="\n")
    choices = {"seeds": seeds, "run_budget": run_budget, "tuning_worth": tuning_worth, "engine": engine}
    run = optbench.run(
        problems=[problem], optimizers=["adam", "momentum"], results=results, name="own_table", outputs=False, **choices
    )
    print(run, optbench.compare(run.folder), *optbench.recommend(run.folder)["sentence"].unique()[-2:], sep="\n\n")
    return run


if __name__ == "__main__":  # needed because worker processes import this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
