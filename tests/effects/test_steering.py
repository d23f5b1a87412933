from backtracking.effects.steering import magnitudes
from backtracking.records.choices import Choice, Scale
from backtracking.records.rows.choice import Magnitude


def test_dose_1_is_in_every_model_the_norm_of_its_own_direction() -> None:
    scales = (Scale("reasoning", 10.0, 20.0), Scale("shuffled", 4.0, 16.0))
    choice = Choice("reasoning", "base", 2, (0, 0), 10.0, (), scales)
    assert magnitudes(choice) == [
        Magnitude("reasoning", 10.0, 0.5),
        Magnitude("shuffled", 4.0, 0.25),
    ]
