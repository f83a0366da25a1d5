"""
Runs in: the tests. Interleavings of several actors, each of them tried: who goes on at each step is decided here.

An actor is a thread that stops before each of its steps (:meth:`Scheduler.step`); at any time one of them runs. A
schedule is the list of the choices. The next one differs at the last choice that has an alternative left, so that in
the end all have been tried that switch away from an actor that could go on at most so many times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator


class Scheduler:
    """
    One run of *actors* by *choices*; past their end whoever runs goes on.

    Attributes:
        taken: At each step, what was chosen, and out of which choices, best first.
        order: Who made which step.
        errors: What came out of actors.
    """

    def __init__(self, choices: list[int], switches: int) -> None:
        self.taken: list[tuple[int, int]] = []
        self.order: list[str] = []
        self.errors: list[BaseException] = []
        self._choices = choices
        self._left = switches
        self._go: dict[str, threading.Semaphore] = {}
        self._blocked: set[str] = set()
        self._back = threading.Semaphore(0)

    def step(self, actor: str, what: str, *, blocked: bool = False) -> None:
        """*actor* is about to do this; or, *blocked*, it waits until somebody else has made a step."""
        if blocked:
            self._blocked.add(actor)
        self._back.release()
        self._go[actor].acquire()
        self.order.append(f"{actor} {what}")

    def run(self, actors: dict[str, Callable[[], None]]) -> None:
        """Until all of them have ended."""
        for name in actors:
            self._go[name] = threading.Semaphore(0)
        threads = {name: threading.Thread(target=self._act, args=(name, act)) for name, act in actors.items()}
        for thread in threads.values():
            thread.start()
            self._back.acquire()
        running = ""
        while alive := [name for name, thread in threads.items() if name in self._go]:
            ready = [name for name in alive if name not in self._blocked]
            assert ready, f"nobody can go on: {self.order}"
            goes_on = running in ready
            ready.sort(key=lambda name: name != running)
            options = len(ready) if not goes_on or self._left else 1
            at = len(self.taken)
            chosen = self._choices[at] if at < len(self._choices) else 0
            self._left -= goes_on and chosen > 0
            self.taken.append((chosen, options))
            running = ready[chosen]
            self._blocked.discard(running)
            self._go[running].release()
            self._back.acquire()
            if running not in self._blocked:
                self._blocked.clear()
        for thread in threads.values():
            thread.join()

    def _act(self, name: str, act: Callable[[], None]) -> None:
        self.step(name, "begins")
        try:
            act()
        except BaseException as error:
            self.errors.append(error)
        del self._go[name]
        self._back.release()


def schedules(run: Callable[[Scheduler], None], *, switches: int, most: int) -> Iterator[Scheduler]:
    """Every schedule with at most so many *switches*, up to *most* of them."""
    choices: list[int] = []
    for _ in range(most):
        scheduler = Scheduler(choices, switches)
        run(scheduler)
        yield scheduler
        choices = [chosen for chosen, _ in scheduler.taken]
        while choices and choices[-1] + 1 >= scheduler.taken[len(choices) - 1][1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1
