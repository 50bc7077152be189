"""A chain in the wrong order, or whose later label is missing where the earlier one is 0, is refused."""

from __future__ import annotations

import dataclasses

import pytest

from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.trainers.training.chain_labels import check_chain_labels


def schema(*, buy_observed: float | None, click_observed: float | None = 1.0, buy: float = 0.3) -> Schema:
    return Schema(
        name="chain",
        features=(Sparse(name="user", ids=IdMap(kind="identity", size=3)),),
        labels=(
            Label(name="click", mean=0.14, observed=click_observed),
            Label(name="buy", mean=buy, observed=buy_observed),
        ),
    )


def test_purchases_that_are_known_of_clicks_alone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--chain=click,buy: buy is observed on 14\.0% of the examples") as refused:
        check_chain_labels(schema(buy_observed=0.14), chain=("click", "buy"))
    assert "--column='buy_of_all=if(click = 0, 0, buy)' --label=click,buy_of_all --ignore=buy" in str(refused.value)
    with pytest.raises(ValueError, match="as many as have click = 1"):
        check_chain_labels(schema(buy_observed=0.0701, click_observed=0.5), chain=("click", "buy"))


@pytest.mark.parametrize("observed", [1.0, None, 0.9, 0.02])
def test_other_shares_are_not(observed: float | None) -> None:
    check_chain_labels(schema(buy_observed=observed, buy=0.05), chain=("click", "buy"))
    check_chain_labels(schema(buy_observed=0.14), chain=())


def test_a_chain_whose_later_label_is_more_often_positive_is_refused() -> None:
    both = schema(buy_observed=1.0, buy=0.05)
    with pytest.raises(ValueError, match=r"--chain=buy,click: the mean of click, 0\.14, is above that of buy, 0\.05"):
        check_chain_labels(both, chain=("buy", "click"))
    check_chain_labels(schema(buy_observed=1.0, buy=0.14), chain=("buy", "click"))


def test_the_mean_of_a_value_says_nothing_about_the_order() -> None:
    bought = schema(buy_observed=1.0, buy=0.05)
    spend = Label(name="spend", type="value", mean=7.4, observed=1.0)
    check_chain_labels(dataclasses.replace(bought, labels=(*bought.labels, spend)), chain=("click", "buy", "spend"))
