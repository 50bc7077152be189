"""Which columns look up ids in a table, and how a schema gets other id maps."""

from __future__ import annotations

from fullrank.data.schema.features import BehaviourColumn, IdMap, Label, Numeric, Sequence, Sparse
from fullrank.data.schema.id_maps import columns_of_ids, with_id_maps
from fullrank.data.schema.schema import Schema

SCHEMA = Schema(
    name="made",
    features=(
        Sparse(name="item", ids=IdMap(size=4)),
        Numeric(name="price"),
        Sparse(name="last_item", table="item"),
        Sequence(
            name="clicks",
            behaviour=(
                BehaviourColumn(name="click_items", table="item", target="item"),
                BehaviourColumn(name="click_ratings", ids=IdMap(kind="identity", size=6)),
            ),
        ),
        Sequence(name="seen", behaviour=(BehaviourColumn(name="seen_items", table="item", target="last_item"),)),
    ),
    labels=(Label(name="buy"),),
)


def test_columns_of_a_table() -> None:
    assert columns_of_ids(SCHEMA, "item") == ("item", "last_item", "click_items", "seen_items")
    assert columns_of_ids(SCHEMA, "click_ratings") == ("click_ratings",)


def test_other_maps() -> None:
    changed = with_id_maps(SCHEMA, {"item": IdMap(size=2, max_size=2), "click_ratings": IdMap(size=3)})
    assert {owner.name: owner.ids for owner in changed.tables} == {
        "item": IdMap(size=2, max_size=2),
        "click_ratings": IdMap(size=3),
    }
    assert changed.columns == SCHEMA.columns
    assert with_id_maps(SCHEMA, {}) == SCHEMA
