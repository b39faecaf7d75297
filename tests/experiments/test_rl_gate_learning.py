"""Which of the learned policies is taken: what validation can tell, and what it cannot."""

from dataclasses import replace

from safe.experiments.rl_gate_learning import FLOOR, Cost, Trained, choose
from safe.gates.schema import Interval
from safe.gates.statistics import wilson
from safe.training.bandit import Evaluation, PolicyNet

ROWS = 800
LIMIT = 0.02


def trained(price, skipped, drop, share, vl_drop=0.0):
    """A policy that skips so many of the rows and changes a share of the answers."""
    look = Evaluation(100, 0.5, vl_drop, skipped / ROWS, 1.0, True)
    cost = Cost(Interval(low=drop[0], high=drop[1], method="paired bootstrap"), share)
    return Trained(
        price=price,
        view="question",
        student=PolicyNet(1, 3, 0),
        evaluations=[look],
        reward=0.5,
        cost=cost,
        skip_rate=skipped / ROWS,
        skips=wilson(skipped, ROWS),
    )


def test_what_seems_to_gain_by_listening_less_is_not_taken_for_it():
    gains = trained(20, 330, (-0.0175, -0.002), 0.02)
    like = trained(40, 330, (0.0, 0.0), 0.0)
    assert choose([gains, like], LIMIT) is like
    assert choose([like, gains], LIMIT) is like


def test_it_skips_as_much_as_validation_can_tell():
    most = trained(60, 330, (0.0, 0.01), 0.02)
    as_much = trained(40, 325, (0.0, 0.005), 0.01)
    fewer = trained(20, 250, (0.0, 0.0), 0.0)
    assert choose([fewer, as_much, most], LIMIT) is as_much
    assert choose([fewer, most], LIMIT) is most
    assert choose([fewer], LIMIT) is fewer


def test_of_equals_it_takes_what_skips_more_and_then_the_higher_price():
    first, second = (trained(price, 330, (0.0, 0.005), 0.01) for price in (20, 40))
    more = trained(10, 335, (0.0, 0.005), 0.01)
    assert choose([first, second], LIMIT) is second
    assert choose([first, more, second], LIMIT) is more


def test_what_costs_too_much_breaks_the_floor_or_cannot_tell_is_not_taken():
    dear = trained(60, 700, (0.01, 0.03), 0.05)
    blind = trained(60, 700, (0.0, 0.0), 0.0, vl_drop=2 * FLOOR)
    untold = replace(trained(60, 700, (0.0, 0.0), 0.0), cost=None)
    good = trained(20, 250, (0.0, 0.01), 0.02)
    assert choose([dear, blind, untold, good], LIMIT) is good
    assert choose([dear, blind, untold], LIMIT) is None
