"""All stages from a query to ranked ads as one graph ([Tencent] §2, [Meta] §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.models.retrieval.query_inputs import QueryInputs
from fullrank.models.retrieval.served_index import EXCLUSIONS, IDS, SCORES, ServedIndex, named_outputs
from fullrank.models.retrieval.stages import PrerankStage, RankStage
from fullrank.models.serving.uncertain import SEED_INPUT

ADS_INPUT: Final = "ads"
Inputs = dict[str, tf.Tensor]
Scored = tuple[tf.Tensor, tf.Tensor]


class Cascade(tf.Module):
    """`retrieve` K1 of N ads -> `prerank` to K2 -> `rank`, and answer K3 with their predictions.

    Every stage is a signature of its own, too: ids that one answers are the input `ads` of the next, and what they give
    in a row is what the whole gives. An id that is not in the catalogue, or is missing, comes last, as a missing id
    with a prediction of 0.

    Args:
      index: Retrieval, with K1 and the ids of the catalogue.
      prerank: The pre-ranker on the same catalogue; `None` to rank all of what is retrieved.
      rank: The ranker on the same catalogue.

    Attributes:
      schemas: What each stage reads, by the flag that names its run.
      query_columns: What a query holds.

    Raises:
      ValueError: If the stages have catalogues of different sizes, read a column differently, or an output of the
        ranker has the name of another output.
    """

    def __init__(self, *, index: ServedIndex, prerank: PrerankStage | None, rank: RankStage) -> None:
        super().__init__(name="cascade")
        sizes = {
            "--retrieval": index.ads,
            "--rank": rank.ads,
            **({} if prerank is None else {"--prerank": prerank.ads}),
        }
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{place} {number:,}" for place, number in sizes.items())
            raise ValueError(f"The stages of a cascade share one catalogue. Received numbers of ads: {said}.")
        taken = [name for name in rank.outputs if name in (IDS, SCORES)]
        if taken:
            raise ValueError(f"The ranker's output {taken[0]!r} has the name of an output of the cascade.")
        self.index, self.prerank, self.rank = index, prerank, rank
        self.schemas = {"--rank": rank.schema, "--retrieval": index.model.schema}
        if prerank is not None:
            self.schemas["--prerank"] = prerank.schema
        self._inputs = QueryInputs(self.schemas, reserved=(ADS_INPUT, EXCLUSIONS, SEED_INPUT))
        self.query_columns = self._inputs.columns
        self._places = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(index.ids[:-1], tf.range(index.ads, dtype=tf.int32)),
            default_value=index.ads,
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in their order."""
        return ("retrieve", "rank") if self.prerank is None else ("retrieve", "prerank", "rank")

    def places(self, ids: tf.Tensor) -> tf.Tensor:
        """Places of ads in the catalogue, N for one that is not in it."""
        return self._places.lookup(ids)

    def retrieved(self, inputs: Inputs, exclusions: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and places of the first stage, `[B, K1]`."""
        return self.index.search(self._inputs.batch(inputs, schema=self.index.model.schema), exclusions)

    def preranked(self, inputs: Inputs, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and places of the second stage, `[B, K2]`.

        Raises:
          ValueError: If there is no such stage.
        """
        if self.prerank is None:
            raise ValueError("This cascade has no pre-ranker.")
        return self.prerank(self._inputs.batch(inputs, schema=self.prerank.schema), places)

    def ranked(self, inputs: Inputs, places: tf.Tensor, seed: tf.Tensor | None = None) -> Inputs:
        """What is answered: `ids` and each prediction, `[B, K3]`; with a seed, by Thompson sampling."""
        found, places = self.rank(self._inputs.batch(inputs, schema=self.rank.schema), places, seed=seed)
        return {IDS: tf.gather(self.index.ids, places), **found}

    def signatures(self) -> dict[str, Any]:
        """`serving_default`, `with_exclusions`, `thompson` of a ranker with a distribution, and one for each stage.

        They share the graphs of the stages, which are traced once.
        """
        specs, ids = self._inputs.specs, self.index.ids.dtype
        places = tf.TensorSpec([None, None], tf.int32)
        ads = {ADS_INPUT: tf.TensorSpec([None, None], ids, name=ADS_INPUT)}
        excluded = {EXCLUSIONS: tf.TensorSpec([None, None], ids, name=EXCLUSIONS)}
        seeded = {SEED_INPUT: tf.TensorSpec([2], tf.int32, name=SEED_INPUT)}
        first: Callable[..., Scored] = tf.function(self.retrieved, input_signature=[specs], autograph=False)
        second: Callable[..., Scored] = tf.function(self.preranked, input_signature=[specs, places], autograph=False)
        third: Callable[..., Inputs] = tf.function(self.ranked, input_signature=[specs, places], autograph=False)

        def query(inputs: Inputs) -> Inputs:
            return {name: inputs[name] for name in specs}

        def kept(inputs: Inputs, found: tf.Tensor) -> tf.Tensor:
            return found if self.prerank is None else second(query(inputs), found)[1]

        def whole(inputs: Inputs) -> Inputs:
            return third(inputs, kept(inputs, first(inputs)[1]))

        def without_some(inputs: Inputs) -> Inputs:
            found = self.retrieved(query(inputs), inputs[EXCLUSIONS])[1]
            return third(query(inputs), kept(inputs, found))

        def drawn(inputs: Inputs) -> Inputs:
            found = kept(inputs, first(query(inputs))[1])
            return self.ranked(query(inputs), found, inputs[SEED_INPUT])

        def retrieve(inputs: Inputs) -> Inputs:
            return self._scored(*first(inputs))

        def prerank(inputs: Inputs) -> Inputs:
            return self._scored(*second(query(inputs), self.places(inputs[ADS_INPUT])))

        def rank(inputs: Inputs) -> Inputs:
            return third(query(inputs), self.places(inputs[ADS_INPUT]))

        of_stages = {"retrieve": (retrieve, {}), "prerank": (prerank, ads), "rank": (rank, ads)}
        signed = {
            "serving_default": (whole, {}),
            "with_exclusions": (without_some, excluded),
            **({"thompson": (drawn, seeded)} if self.rank.draws else {}),
            **{name: of_stages[name] for name in self.stages},
        }
        return {name: _signature(function, {**specs, **more}) for name, (function, more) in signed.items()}

    def _scored(self, scores: tf.Tensor, places: tf.Tensor) -> Inputs:
        return {IDS: tf.gather(self.index.ids, places), SCORES: scores}


def _signature(function: Callable[[Inputs], Inputs], specs: Mapping[str, tf.TensorSpec]) -> Any:
    def named(inputs: Inputs) -> Inputs:
        return named_outputs(function(inputs))

    return tf.function(named, input_signature=[specs], autograph=False)


def further_inputs(signature: str, answer: Mapping[str, tf.Tensor], *, places: int = 2) -> dict[str, Any]:
    """What a warm-up request holds beside the query, made of an answer of the signature `retrieve`.

    Args:
      signature: Its signature.
      answer: The answer.
      places: Ads that are excluded.
    """
    if signature == "with_exclusions":
        return {EXCLUSIONS: answer[IDS][:, :places].numpy()}
    if signature in ("prerank", "rank"):
        return {ADS_INPUT: answer[IDS].numpy()}
    return {SEED_INPUT: np.array([1, 2], np.int32)} if signature == "thompson" else {}
