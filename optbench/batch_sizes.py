"""At which batch sizes a problem is run: at those that were asked for, or at its own.

What was asked for has to fit. A problem's own sizes were asked for by nobody in particular: those that are larger than
its training set, as that may be for some parameters, are left out, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from optbench.errors import UserError, out_of_range


def batch_sizes(
    problem: str, examples: int, asked: Sequence[int], own: Sequence[int]
) -> tuple[Sequence[int], list[str]]:
    """The batch sizes of a problem, by its label, with so many training examples, and what to say of them.

    Raises UserError where one that was asked for doesn't fit, and where there are none.
    """
    if asked:
        for size in asked:
            if not 1 <= size <= examples:
                raise out_of_range(f"batch size of {problem}", size, f"1 to its {examples} training examples")
        return asked, []
    fitting = [size for size in own if size <= examples]
    if not own:
        raise UserError(f"problem {problem} has no batch sizes (accepted: one at least, here or in the problem)")
    if not fitting:
        raise UserError(
            f"no batch size of {problem} fits its {examples} training examples: it has {_listed(own)} (accepted: 1 to "
            f"{examples}, in the problem or by --batch-size)"
        )
    left_out = [size for size in own if size > examples]
    if not left_out:
        return fitting, []
    one = len(left_out) == 1
    which = f"batch size {left_out[0]} of {problem} is" if one else f"batch sizes {_listed(left_out)} of {problem} are"
    return fitting, [f"{which} left out: there are {examples} training examples"]


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
