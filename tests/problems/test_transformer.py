"""The transformer against torch's own layers, that it doesn't look ahead, and that replicas at once are the same."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problems.causal import Block
from optbench.problems.transformer import Transformer

NOWHERE = DataSource(Path("/nonexistent"), download=False)


def reference(block: Block, width: int) -> nn.TransformerEncoderLayer:
    """A layer of torch with a block's weights."""
    layer = nn.TransformerEncoderLayer(
        width, block.heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    pairs = {
        layer.self_attn.in_proj_weight: block.query_key_value.weight,
        layer.self_attn.in_proj_bias: block.query_key_value.bias,
        layer.self_attn.out_proj.weight: block.attended.weight, layer.self_attn.out_proj.bias: block.attended.bias,
        layer.linear1.weight: block.wide.weight, layer.linear1.bias: block.wide.bias,
        layer.linear2.weight: block.narrow.weight, layer.linear2.bias: block.narrow.bias,
        layer.norm1.weight: block.first_norm.weight, layer.norm1.bias: block.first_norm.bias,
        layer.norm2.weight: block.second_norm.weight, layer.norm2.bias: block.second_norm.bias,
    }  # fmt: skip
    with torch.no_grad():
        for theirs, ours in pairs.items():
            theirs.copy_(ours)
    return layer


def randomised(model: nn.Module) -> nn.Module:
    """In float64 with weights that are not near zero, so that all parts show."""
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.normal_(std=0.5)
    return model


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_scores_are_those_of_torchs_layers(heads: int) -> None:
    problem = Transformer(width=8, heads=heads, layers=2, length=6)
    model = randomised(problem.model())
    tokens = torch.randint(problem.alphabet, (3, 6))
    states = model.token(tokens) + model.position.weight
    for block in model.blocks:
        states = reference(block, 8)(states, nn.Transformer.generate_square_subsequent_mask(6, dtype=torch.float64))
    torch.testing.assert_close(model(tokens), model.norm(states) @ model.scores.weight.T, rtol=1e-10, atol=1e-10)


def test_no_place_sees_later_ones_and_all_see_earlier_ones() -> None:
    problem = Transformer(width=8, length=10)
    model = randomised(problem.model())
    tokens = torch.randint(problem.alphabet, (1, 10))
    for place in (0, 4, 9):
        other = tokens.clone()
        other[0, place] = (other[0, place] + 1) % problem.alphabet
        changed = (model(tokens) != model(other)).any(-1)[0]
        assert changed.tolist() == [t >= place for t in range(10)]


def test_weights_start_as_those_of_gpt_2() -> None:
    model = Transformer(width=64, heads=4, layers=8).model()
    for name, parameter in model.named_parameters():
        residual = "attended" in name or "narrow" in name
        if parameter.dim() == 2:
            assert float(parameter.std()) == pytest.approx(0.02 / (math.sqrt(16) if residual else 1), rel=0.1), name
        else:
            assert torch.equal(parameter, torch.full_like(parameter, float("norm" in name and "weight" in name))), name


def test_dropout_is_off_unless_asked_for_and_in_evaluation() -> None:
    tokens = torch.randint(30, (2, 32))
    for rate in (0.0, 0.5):
        model = Transformer(dropout=rate).model()
        assert torch.equal(model(tokens), model(tokens)) == (rate == 0)
        model.eval()
        assert torch.equal(model(tokens), model(tokens))


def test_replicas_at_once_have_the_losses_and_gradients_of_each() -> None:
    problem = Transformer(width=8, length=6, layers=1)
    models = [randomised(problem.model()) for _ in range(3)]
    (tokens,) = problem.load_data(NOWHERE).train
    batches = tokens[:12].unflatten(0, (3, 4))
    stacked, _ = torch.func.stack_module_state(models)

    def loss(parameters: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        scores = torch.func.functional_call(models[0], parameters, (batch[:, :-1],))
        return nn.functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())

    losses = torch.func.vmap(loss)(stacked, batches)
    losses.sum().backward()
    for k, model in enumerate(models):
        alone = problem.loss(model, (batches[k],))
        alone.backward()
        torch.testing.assert_close(losses[k], alone)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(stacked[name].grad[k], parameter.grad)


def test_gradients_can_be_differentiated() -> None:
    problem = Transformer(width=8, length=6)
    model = problem.model()
    batch = tuple(part[:4] for part in problem.load_data(NOWHERE).train)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(problem.loss(model, batch), parameters, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), parameters)
    assert all(torch.isfinite(part).all() for part in second)
    assert any(part.abs().max() > 0 for part in second)


def test_it_learns_to_look_back(tmp_path: Path) -> None:
    """A text that repeats after five characters, of which each by itself says nothing of the next."""
    (tmp_path / "a.txt").write_text("aabab" * 160)
    problem = Transformer(data=str(tmp_path / "a.txt"), length=20, width=16)
    data = problem.load_data(NOWHERE)
    torch.manual_seed(0)
    model = problem.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        problem.loss(model, data.train).backward()
        optimizer.step()
    assert float(problem.metric(model, data.test)) < 0.3  # an unseeing model has 0.97, one that sees one back 0.95


@pytest.mark.parametrize(
    ("wrong", "line"),
    [({"width": 0}, r"transformer\[width\] = 0"), ({"heads": 3}, r"transformer\[heads\] = 3 does not divide the width"),
     ({"heads": 0}, r"transformer\[heads\] = 0"), ({"layers": 0}, r"transformer\[layers\] = 0"),
     ({"dropout": 1.0}, r"transformer\[dropout\] = 1.0"), ({"length": 1}, r"transformer\[length\] = 1 ")],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line):
        Transformer(**wrong).check()  # type: ignore[arg-type]
