from edge_anpr.watch.breaker import LEAST_HITS, WINDOW_NS, Breaker

MINUTE_NS = 60_000_000_000


def test_a_list_of_half_the_town_trips_it() -> None:
    breaker = Breaker(10)
    for number in range(2 * LEAST_HITS):
        breaker.note(number * 1_000_000_000, hit=number % 2 == 0)
    assert breaker.tripped


def test_a_few_hits_do_not_whatever_their_share() -> None:
    breaker = Breaker(10)
    for number in range(LEAST_HITS - 1):
        breaker.note(number, hit=True)
    assert not breaker.tripped


def test_many_hits_among_very_many_passages_do_not() -> None:
    breaker = Breaker(10)
    for number in range(5000):
        breaker.note(number * MINUTE_NS // 100, hit=number % 11 == 0)
    assert not breaker.tripped


def test_hits_of_more_than_an_hour_ago_are_forgotten() -> None:
    breaker = Breaker(10)
    for number in range(LEAST_HITS - 1):
        breaker.note(number, hit=True)
    breaker.note(WINDOW_NS + MINUTE_NS, hit=True)
    assert not breaker.tripped
    for number in range(LEAST_HITS):
        breaker.note(WINDOW_NS + 2 * MINUTE_NS + number, hit=True)
    assert breaker.tripped
