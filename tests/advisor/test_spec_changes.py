"""Changes to the spec as text to copy."""

from boostlora.engine.advisor.rules import recommend
from boostlora.engine.cli.spec_changes import Next, lines_for_spec

from .advisor_toys import basis, findings

RUN = ("boostlora", "run", "a spec")


def lines(found, **changes):
    return lines_for_spec(found, recommend(found), Next(command=RUN, **changes))


ONE_SHOT = findings(basis("rotate", 0.1, together=0.2, equal=0.4, own=True), wide=64, refit_every=4)


def test_advised_arm_omits_keys_that_budgets_solve_for():
    found = lines(ONE_SHOT, solved=frozenset({"adapter.rank", "optimizer.steps", "optimizer.lr"}))
    assert found[:3] == ["in the study, as an arm:", "  [[ablate.case]]", '  name = "advised"']
    assert "  set.rounds = 1" in found
    assert '  set."boosting.refit_every" = 0' in found
    assert not [line for line in found if line.startswith("  set") and "adapter.rank" in line]
    assert "solved for by [[ablate.budget]]: adapter.rank = 16, optimizer.steps = 640" in found


def test_command_is_quoted_and_keeps_the_users_settings():
    found = lines(ONE_SHOT, settings=("rounds=16", "model.hidden=[24, 16]"))
    command = found[found.index("or:") + 1]
    assert command.startswith("  boostlora run 'a spec' --set 'model.hidden=[24, 16]' --set rounds=1 ")
    assert "rounds=16" not in command


def test_spec_that_follows_the_advice_is_run_unchanged():
    found = lines(findings(basis("rotate", 0.1, equal=0.1, own=True), refit_every=4))
    assert found == ["the spec follows the advice", "run it:", "  boostlora run 'a spec'"]
