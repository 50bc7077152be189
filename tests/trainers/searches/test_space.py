"""The space of a search: what is read, what is refused, and what is drawn."""

from __future__ import annotations

import optuna
import pytest

from fullrank.trainers.searches.space import Choice, Range, read_space


def test_ranges_and_choices() -> None:
    space = read_space(
        "learning_rate=log:1e-4..1e-2, widths=16|16,32,64,epochs=1..3,--dropout=0..0.5,shuffle=true|false"
    )
    assert space == (
        Range(flag="learning_rate", low=1e-4, high=1e-2, log=True),
        Choice(flag="widths", values=("16", "16,32,64")),
        Range(flag="epochs", low=1, high=3, log=False),
        Range(flag="dropout", low=0.0, high=0.5, log=False),
        Choice(flag="shuffle", values=("true", "false")),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" ", "--space is empty"),
        ("widths", "'widths' is not flag=values"),
        ("width=8|16", r"'width' is not a flag .* Did you mean 'widths'\?"),
        ("seed=1..9", "'seed' is not a flag of train that changes the result"),
        ("log_steps=1..9", "changes the result"),
        ("epochs=1..3,epochs=4..5", "names 'epochs' twice"),
        ("epochs=3", r"single value is a flag of train and goes after --"),
        ("epochs=3..1", "needs low < high"),
        ("learning_rate=log:0..1", "low < high and above 0"),
        ("learning_rate=fast..slow", "learning_rate: expected a number"),
        ("widths=8..16", "widths is not a number"),
        ("model=me..ame", "model is not a number"),
        ("model=me|amee", "model: expected one of"),
        ("epochs=1|1", "a choice twice"),
    ],
)
def test_what_cannot_be_a_space(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_space(text)


def test_draws_are_texts_of_flags_within_the_space() -> None:
    space = read_space("learning_rate=log:1e-4..1e-2,widths=8|16,32,epochs=1..3")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        trial = study.ask()
        rate, widths, epochs = (dimension.draw(trial) for dimension in space)
        assert 1e-4 <= float(rate) <= 1e-2
        assert widths in ("8", "16,32")
        assert epochs in ("1", "2", "3")
