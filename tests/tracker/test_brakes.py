"""The brakes on guessing: who tries is slowed down and put off, and the owner gets in."""

from __future__ import annotations

import pytest

from tracker.sending.brakes import FADES, LONGEST, MOST, REMEMBERED, Brakes

HOME, CAFE, EVIL = "198.51.100.1", "198.51.100.2", "203.0.113.9"


@pytest.fixture
def brakes() -> Brakes:
    return Brakes()


def attack(brakes: Brakes, place: str, name: str, tries: int, now: float = 0.0) -> list[float]:
    """Wrong passwords; how long each is held back, -1 where it is put off."""
    paces = []
    for _ in range(tries):
        pace = brakes.ask(place, name, now)
        paces.append(-1 if pace.refused else pace.delay)
        if not pace.refused:
            brakes.wrong(place, name, now)
    return paces


def test_a_few_mistakes_cost_nothing(brakes: Brakes):
    assert attack(brakes, HOME, "alice", 3) == [0, 0, 0]


def test_guessing_becomes_slow_and_then_is_put_off(brakes: Brakes):
    delays = attack(brakes, EVIL, "alice", 40)
    assert delays[:MOST] == [0, 0, 0, 0.5, 1, 2, LONGEST, LONGEST, LONGEST, LONGEST]
    assert delays[MOST:] == [-1] * 30


def test_trying_other_names_does_not_help(brakes: Brakes):
    delays = [attack(brakes, EVIL, f"user{number}", 1) for number in range(20)]
    assert delays[MOST:] == [[-1]] * 10


def test_who_is_put_off_is_told_when_to_come_back_and_is_heard_then(brakes: Brakes):
    attack(brakes, EVIL, "alice", MOST)
    seconds = brakes.ask(EVIL, "alice", 0.0).refused
    assert brakes.ask(EVIL, "alice", seconds - 1.0).refused
    assert not brakes.ask(EVIL, "alice", float(seconds)).refused
    assert not brakes.ask(EVIL, "alice", 100 * FADES).delay


def test_the_owner_gets_in_from_elsewhere_while_the_name_is_under_attack(brakes: Brakes):
    for number in range(50):
        attack(brakes, f"192.0.2.{number}", "alice", 5)
    assert not brakes.ask(CAFE, "alice", 1.0).refused


def test_a_place_that_has_failed_waits_while_the_name_is_under_attack(brakes: Brakes):
    for number in range(50):
        attack(brakes, f"192.0.2.{number}", "alice", 1)
    assert attack(brakes, EVIL, "alice", 3) == [LONGEST, -1, -1]
    assert attack(brakes, EVIL, "bob", 1) == [0]


def test_the_owner_gets_in_from_where_the_attack_comes_from_if_known_there(brakes: Brakes):
    brakes.right(HOME, "alice", 0.0)
    attack(brakes, HOME, "alice", 40, 60.0)
    assert not brakes.ask(HOME, "alice", 60.0).refused
    assert brakes.ask(HOME, "bob", 60.0).refused


def test_a_place_is_not_known_for_ever(brakes: Brakes):
    brakes.right(HOME, "alice", 0.0)
    later = 31 * 86400.0
    assert attack(brakes, HOME, "alice", 11, later)[-1] == -1


def test_an_own_login_does_not_take_off_the_brakes(brakes: Brakes):
    for _ in range(MOST):
        brakes.wrong(EVIL, "alice", 0.0)
        brakes.right(EVIL, "mallory", 0.0)
    assert brakes.ask(EVIL, "alice", 0.0).refused


def test_a_clock_that_jumps_back_locks_nobody_out(brakes: Brakes):
    attack(brakes, EVIL, "alice", MOST, 1e9)
    assert brakes.ask(EVIL, "alice", 0.0).refused <= MOST * FADES
    brakes.right(HOME, "bob", 1e9)
    assert not brakes.ask(HOME, "bob", 0.0).refused


def test_a_million_strangers_cost_no_memory(brakes: Brakes):

    for number in range(3 * REMEMBERED):
        brakes.wrong(f"place-{number}", f"name-{number}", 0.0)
        brakes.right(f"place-{number}", f"other-{number}", 0.0)
    assert len(brakes._places._counts) <= REMEMBERED
    assert len(brakes._names._counts) <= REMEMBERED
    assert len(brakes._known) <= REMEMBERED
