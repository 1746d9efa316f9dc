"""The factor of the sign, and the magnitude, of every integrator that can occur."""

from signfire.hdl.sign_choice import SignChoice

PORTS = ["chosen_valid", "chosen_x", "factor"]


def test_the_sign_chooses_the_factor(play):
    dut = SignChoice(lanes=2, x_width=5, factor_bits=3, magnitude=False)
    groups = [(x, -1 - x) for x in range(-16, 16)]
    stimuli = [{"valid": 1, "x": list(g), "factors": [5 | 2 << 3, 7]} for g in groups]

    seen = play(dut, [*stimuli, {"valid": 0}], PORTS)

    assert dut.LATENCY == 1
    assert [0] + [1] * 32 == [cycle["chosen_valid"] for cycle in seen]
    for (a, b), cycle in zip(groups, seen[1:], strict=True):
        assert [a, b] == cycle["chosen_x"]
        assert [5 if a >= 0 else 2, 7 if b >= 0 else 0] == cycle["factor"]


def test_the_magnitude_keeps_its_only_factor(play):
    dut = SignChoice(lanes=1, x_width=5, factor_bits=3, magnitude=True)
    values = list(range(-15, 16))

    seen = play(dut, [*({"valid": 1, "x": [x], "factors": [6]} for x in values), {}], PORTS)

    assert [[abs(x)] for x in values] == [cycle["chosen_x"] for cycle in seen[1:]]
    assert all(cycle["factor"] == [6] for cycle in seen[1:])
