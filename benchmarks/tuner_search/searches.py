"""The searches that are compared: each asks for points until it may not.

A search is `search(problem, ask, seed, budget)`: `ask(point)` gives the score in GFLOP/s, 0 for a
point that does not compile, and raises `SpentError` when the budget is used up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from avo_tui.domain import tunables as tn
from avo_tui.operators.tuner.archive import Archive, Tried
from avo_tui.operators.tuner.propose import Space, propose
from benchmarks.tuner_search.recording import Problem

Ask = Callable[[Mapping[str, str]], float]
Search = Callable[[Problem, Ask, int, int], None]


def tuner(problem: Problem, ask: Ask, seed: int, budget: int) -> None:
    """avo-tui's own, proposal by proposal as in a session; a better point becomes the head."""
    tunables = problem.tunables
    head, archive, seen = tn.point(tunables), Archive(), set[frozenset[tuple[str, str]]]()
    number = 0

    def judge(point: Mapping[str, str]) -> float:
        nonlocal number
        score, number = ask(point), number + 1
        seen.add(frozenset(point.items()))
        archive.add(Tried(dict(point), score, str(number), str(number), (number, 1)))
        return score

    best = judge(head)
    while True:
        child = propose(
            head,
            Space(tunables, {}),
            archive,
            lambda point: frozenset(point.items()) in seen,
            random.Random(f"{seed}:{number}"),
        )
        if child is None:
            return
        score = judge(child.point)
        if score > best:
            head, best = dict(child.point), score


def chance(problem: Problem, ask: Ask, seed: int, budget: int) -> None:
    """Points drawn evenly."""
    rng = random.Random(seed)
    while True:
        ask({t.name: rng.choice(t.choices).token for t in problem.tunables})


def _optuna(problem: Problem, ask: Ask, sampler: Any, as_numbers: bool) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    tunables = problem.tunables

    def parameters(point: Mapping[str, str]) -> dict[str, Any]:
        tokens = {t.name: [c.token for c in t.choices] for t in tunables}
        return {
            t.name: tokens[t.name].index(point[t.name])
            if as_numbers or t.ordered
            else point[t.name]
            for t in tunables
        }

    def objective(trial: Any) -> float:
        point = {}
        for t in tunables:
            tokens = [c.token for c in t.choices]
            if as_numbers or t.ordered:
                point[t.name] = tokens[trial.suggest_int(t.name, 0, len(tokens) - 1)]
            else:
                point[t.name] = trial.suggest_categorical(t.name, tokens)
        return ask(point)

    study.enqueue_trial(parameters(tn.point(tunables)))
    study.optimize(objective)


def tpe(problem: Problem, ask: Ask, seed: int, budget: int) -> None:
    """Optuna's tree of Parzen estimators, over all tunables together."""
    import optuna

    _optuna(problem, ask, optuna.samplers.TPESampler(seed=seed, multivariate=True), False)


def cma(problem: Problem, ask: Ask, seed: int, budget: int) -> None:
    """Optuna's CMA-ES, from the kernel as it starts, over the indices of the values."""
    import optuna

    x0 = {t.name: t.index for t in problem.tunables}
    _optuna(problem, ask, optuna.samplers.CmaEsSampler(x0=x0, seed=seed), True)


class _Runner:
    """Stands where Kernel Tuner compiles and measures."""

    def __init__(self, problem: Problem, ask: Ask) -> None:
        self._names, self._ask = [t.name for t in problem.tunables], ask

    def add_strategy_time(self, seconds: float) -> None:
        """Not of interest here."""

    def run(self, parameter_space: Sequence[Sequence[Any]], options: Any) -> list[dict[str, Any]]:
        """One result for each point, with `time` to be made small."""
        results = []
        for values in parameter_space:
            point = {n: str(v) for n, v in zip(self._names, values, strict=True)}
            score = self._ask(point)
            results.append({**point, "time": 1.0 / score if score else 1e9})
        return results


def _kernel_tuner(strategy: str) -> Search:
    def search(problem: Problem, ask: Ask, seed: int, budget: int) -> None:
        import importlib

        import numpy
        from kernel_tuner import util
        from kernel_tuner.interface import Options
        from kernel_tuner.searchspace import Searchspace

        random.seed(seed)
        numpy.random.seed(seed)
        values = {t.name: [int(c.token) for c in t.choices] for t in problem.tunables}
        start = tuple(int(t.token) for t in problem.tunables)
        options = Options(
            tune_params=values,
            objective=["time"],
            objective_higher_is_better=[False],
            strategy_options=Options(max_fevals=budget, x0=start)
            if strategy == "greedy_ils"
            else Options(max_fevals=budget),
            verbose=False,
            cache={},
            budget=util.TuningBudget(None, 10**9),
            eps=1,
        )
        module = importlib.import_module(f"kernel_tuner.strategies.{strategy}")
        while True:  # a strategy that ends early begins anew, as a person would let it
            module.tune(Searchspace(values, None, 10**9), _Runner(problem, ask), options)

    return search


SEARCHES: dict[str, Search] = {
    "tuner": tuner,
    "random": chance,
    "Optuna TPE": tpe,
    "Optuna CMA-ES": cma,
    "Kernel Tuner genetic": _kernel_tuner("genetic_algorithm"),
    "Kernel Tuner greedy ILS": _kernel_tuner("greedy_ils"),
    "Kernel Tuner annealing": _kernel_tuner("simulated_annealing"),
}
LISTS_ALL = "Kernel Tuner"
"""Searches with this in their name build a list of every point first, so not of large spaces."""
