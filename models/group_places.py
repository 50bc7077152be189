"""Group structure learning at the places that a model asks for: fields, representation, or both ([Meta] §3.1)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import tensorflow as tf
import tf_keras as keras

from fullrank.data.schema.schema import Schema
from fullrank.layers.groups.group_structure import GroupStructure, GroupStructureLearning
from fullrank.models.options import GroupOptions, GroupPlace
from fullrank.models.wirings.wiring import Wiring

_FIELDS: Final[tuple[GroupPlace, ...]] = ("user", "user_ad")


class FoundGroups(NamedTuple):
    """The learned groups of a batch.

    Attributes:
      codes: Place -> `[B, Q]` int32, coarse to fine.
      losses: Place -> mean loss over the examples, a scalar.
      errors: Place -> `[B, Q]`, squared distance that is left after each level.
      reconstruction: Place -> `[B]`, the reconstruction error.
    """

    codes: dict[str, tf.Tensor]
    losses: dict[str, tf.Tensor]
    errors: dict[str, tf.Tensor]
    reconstruction: dict[str, tf.Tensor]

    def add(self, place: str, found: GroupStructure) -> None:
        """Takes in what one layer found."""
        examples = tf.cast(tf.size(found.loss), tf.float32)
        self.codes[place], self.errors[place] = found.codes, found.errors
        self.losses[place] = tf.math.divide_no_nan(tf.reduce_sum(found.loss), examples)
        self.reconstruction[place] = found.reconstruction


class GroupPlaces(keras.layers.Layer):
    """`[x ; groups]` for the x of each place.

    * `user` and `user_ad`: x are the user's fields of an embedding set, or all of its fields, side by side; the groups
      are one more field of that set (one a level with `concat`), as wide as the others, so that they interact. Each
      set has a quantiser of its own: through a common one, the loss of a task would reach embeddings that only another
      task may train.
    * `representation`: x is what a tower reads. All towers share one quantiser, so that a group means the same to
      each; a tower's groups and loss depend on what that tower reads alone.

    All of it is float32, so that half precision does not decide between two codes.

    Attributes:
      learners: Place -> layer, such as `user` (`user_set0` where there are several sets) and `representation`.

    Args:
      options: Where and how.
      wiring: Sets and towers.
      schema: Says which fields are the user's.
      field_names: The F axis.
      seed: Seed of codebooks, their start and restarts; every quantiser draws from one of its own.

    Raises:
      ValueError: If a place is unknown or named twice, or no field is the user's.
    """

    def __init__(
        self,
        options: GroupOptions,
        *,
        wiring: Wiring,
        schema: Schema,
        field_names: tuple[str, ...],
        seed: int,
        name: str,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self._options, self._wiring, self._seed = options, wiring, seed
        side_of = {feature.name: feature.side for feature in schema.features}
        users = [number for number, field in enumerate(field_names) if side_of[field] == "user"]
        _check(options, users, schema)
        self._read = {"user": users, "user_ad": list(range(len(field_names)))}
        self.learners: dict[str, GroupStructureLearning] = {}
        for place in self._at_fields:
            for spec in wiring.sets:
                self.learners[self._place_of(place, spec.name)] = self._learner(
                    spec.width, self._place_of(place, spec.name)
                )
        if "representation" in options.places:
            self.learners["representation"] = self._learner(options.width, "representation")

    @property
    def _at_fields(self) -> list[GroupPlace]:
        return [place for place in _FIELDS if place in self._options.places]

    @property
    def _fields_a_place(self) -> int:
        return self._options.levels if self._options.combine == "concat" else 1

    @property
    def more_fields(self) -> tuple[str, ...]:
        """Names of the fields that groups add to each set."""
        levels = range(1, self._options.levels + 1) if self._options.combine == "concat" else [None]
        return tuple(
            f"{place}_groups" if level is None else f"{place}_groups_{level}"
            for place in self._at_fields
            for level in levels
        )

    @property
    def _by_set(self) -> dict[tuple[str, str], GroupStructureLearning]:
        """The learners by place and set, whatever other sets there are; that of the towers has no set."""
        towers = self.learners.get("representation")
        found: dict[tuple[str, str], GroupStructureLearning] = (
            {} if towers is None else {("representation", ""): towers}
        )
        for place, spec in itertools.product(self._at_fields, self._wiring.sets):
            found[place, spec.name] = self.learners[self._place_of(place, spec.name)]
        return found

    def _place_of(self, place: str, of_set: str) -> str:
        return place if len(self._wiring.sets) == 1 else f"{place}_{of_set}"

    def _learner(self, width: int, name: str) -> GroupStructureLearning:
        options = self._options
        return GroupStructureLearning(
            options.levels,
            options.codes,
            width,
            hidden=options.hidden,
            detach=options.detach,
            mu=options.mu,
            combine=options.combine,
            straight_through=options.straight_through,
            k_means_steps=options.k_means_steps,
            usage_decay=options.usage_decay,
            restart_share=options.restart_share,
            seed=1000 * self._seed + len(self.learners),
            name=name,
            dtype="float32",
        )

    def at_fields(
        self, fields: Mapping[str, tf.Tensor], found: FoundGroups, *, training: bool | None
    ) -> dict[str, tf.Tensor]:
        """Adds the groups to the fields `[B, F, d]` of each set, and to `found`."""
        extended = dict(fields)
        for place in self._at_fields:
            for spec in self._wiring.sets:
                given, name = fields[spec.name], self._place_of(place, spec.name)
                read = tf.gather(given, self._read[place], axis=1)
                x = tf.reshape(read, (-1, read.shape[1] * spec.width))
                structure = self.learners[name](x, training=training)
                found.add(name, structure)
                groups = tf.reshape(structure.output[:, x.shape[1] :], (-1, self._fields_a_place, spec.width))
                extended[spec.name] = tf.concat([extended[spec.name], tf.cast(groups, given.dtype)], axis=1)
        return extended

    def at_representation(self, read: tf.Tensor, found: FoundGroups, *, training: bool | None) -> tf.Tensor:
        """Adds the groups to what the towers read, `[B, G, H]`, and to `found`."""
        if "representation" not in self.learners:
            return read
        towers, width = read.shape[1], read.shape[2]
        structure = self.learners["representation"](tf.reshape(read, (-1, width)), training=training)
        split = {name: tf.reshape(value, (-1, towers, *value.shape[1:])) for name, value in structure._asdict().items()}
        for number, reader in enumerate(self._wiring.readers):
            name = "representation" if towers == 1 else f"representation_{reader.task}"
            found.add(name, GroupStructure(**{part: value[:, number] for part, value in split.items()}))
        return tf.cast(split["output"], read.dtype)

    def loss(self, found: FoundGroups) -> tf.Tensor:
        """The sum over fields' places, and the mean over towers, weighted; a scalar."""
        towers = len(self._wiring.readers)
        share = [1.0 / towers if place.startswith("representation") else 1.0 for place in found.losses]
        return self._options.weight * tf.add_n(
            [part * loss for part, loss in zip(share, found.losses.values(), strict=True)]
        )

    def statistics(self) -> dict[str, dict[str, tf.Tensor]]:
        """Place -> `usage` and `perplexity` of each level, `[Q]`, as training left them."""
        return {name: learner.quantizer.statistics() for name, learner in self.learners.items()}

    def copy_from(self, other: GroupPlaces) -> None:
        """Takes the weights over from the places of another model that has at least these."""
        for key, learner in self._by_set.items():
            for weight, value in zip(learner.weights, other._by_set[key].weights, strict=True):
                weight.assign(value)


def no_groups() -> FoundGroups:
    """An empty record, to be filled on the way through a model."""
    return FoundGroups({}, {}, {}, {})


def _check(options: GroupOptions, users: list[int], schema: Schema) -> None:
    known = (*_FIELDS, "representation")
    unknown: list[Any] = [place for place in options.places if place not in known]
    if unknown or len(set(options.places)) != len(options.places):
        raise ValueError(f"Places of groups are {', '.join(known)}, each once. Received: {', '.join(options.places)}.")
    if "user" in options.places and not users:
        raise ValueError(
            f"Groups at 'user' need a field of the user, but no feature of schema {schema.name!r} has side 'user': set "
            "it in schema.json."
        )
