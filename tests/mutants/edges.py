"""Known mistakes at the edges, each to be caught by the tests of its place.

They are about links and who hears whom, names, places and memory, the log's sink, the doors, and what is printed.
"""

from __future__ import annotations

import attrs

from .planting import Change, Mutant


@attrs.frozen
class Place:
    """Where mistakes are planted, and who is to notice."""

    path: str
    tests: tuple[str, ...]


GRAPH = Place("cli/reachability.py", ("tests/cli/test_reachability.py", "tests/cli/test_cluster_report.py"))
NAMES = Place("wire/names.py", ("tests/node/test_names.py",))
PLACES = Place("node/places.py", ("tests/node/test_places.py",))
BUDGET = Place("wire/budget.py", ("tests/node/test_budget.py",))
SINK = Place("cli_kit/log_sink.py", ("tests/cli/test_log_sink.py",))
DOOR = Place("client/door.py", ("tests/client/test_leaving_and_misuse.py",))
KINDS = Place("paxos/option_kinds.py", ("tests/paxos/test_option_kinds.py",))
PATIENCE = Place("client/silence.py", ("tests/client/test_connection.py",))
KEPT = Place("apply/sessions.py", ("tests/apply/test_sessions.py",))
PRINTING = Place("cli_kit/printing.py", ("tests/cli/test_printing.py",))
SHOWN = Place("cli_kit/shown.py", ("tests/cli/test_printing.py",))
HOSTS = Place("cli/host_names.py", ("tests/cli/test_config_check.py",))
NOTES = Place("node/link_notes.py", ("tests/node/test_link_notes.py",))
ADDRESSES = Place("addresses.py", ("tests/test_addresses.py",))


def _planted(place: Place, name: str, old: str, new: str) -> Mutant:
    return Mutant(name, 0, (Change(place.path, old, new),), tests=place.tests)


MUTANTS = (
    _planted(GRAPH, "a link that one end hears is a link", "{node: why for node, why in told.items() if why}", "{}"),
    _planted(
        GRAPH, "a leader counts voters that it does not hear", "len(circle - lost) >=", "len(circles) - len(lost) >="
    ),
    _planted(
        GRAPH,
        "what has failed may lead",
        " for node, circle in circles.items() if node not in lost)",
        " for node, circle in circles.items())",
    ),
    _planted(
        GRAPH,
        "one failure fewer is looked at",
        "combinations(circles, count + 1)",
        "combinations(circles, max(0, count))",
    ),
    _planted(
        NAMES, "each dial begins a lookup of its own", "            if lookup is None:\n", "            if True:\n"
    ),
    _planted(
        NAMES, "a failed lookup forgets what the name stood for", "            if found:\n", "            if True:\n"
    ),
    _planted(
        NAMES,
        "a name that is known waits for the resolver",
        "with suppress(UnknownHost), anyio.move_on_after(FRESH_S):",
        "with suppress(UnknownHost):",
    ),
    _planted(
        NAMES, "the address that answered is not tried first", "known.insert(place, address)", "known.append(address)"
    ),
    _planted(
        PLACES,
        "clients take the guests' places",
        "clients=max(1, min(clients_wanted, left - guests)),",
        "clients=clients_wanted,",
    ),
    _planted(
        PLACES,
        "the newest guest goes for the oldest",
        "        oldest = next(iter(links))\n",
        "        oldest = next(reversed(links))\n",
    ),
    _planted(
        PLACES,
        "nobody but clients is let in when all places are taken",
        "        elif is_visitor:\n",
        "        elif False:\n",
    ),
    _planted(PLACES, "a client that left keeps its place", "        self._clients.discard(link)\n", ""),
    _planted(
        BUDGET,
        "what was kept before is counted again",
        "held_bytes - share.held_bytes\n        share",
        "held_bytes\n        share",
    ),
    _planted(BUDGET, "the smallest goes", "self._close(max(self._shares", "self._close(min(self._shares"),
    _planted(
        BUDGET, "a link that moves is closed for standing still", "if moved_bytes == share.moved_bytes:", "if True:"
    ),
    _planted(
        SINK, "what finds no room waits all the same", "self._waiting_bytes + len(data) > self._bytes_max", "False"
    ),
    _planted(SINK, "lost lines are not counted", "        losses[LOST] += count\n", ""),
    _planted(
        SINK,
        "an error is tried again at once",
        "                if error and not self._is_ending:\n",
        "                if False:\n",
    ),
    _planted(
        SINK,
        "a reader that has gone ends the writer with an error",
        "            except OSError as error:\n                with self._changed:",
        "            except BlockingIOError as error:\n                with self._changed:",
    ),
    _planted(
        DOOR, "text is a command", "if not isinstance(payload, bytes):", "if not isinstance(payload, bytes | str):"
    ),
    _planted(DOOR, "nan is a time", "        if timeout >= 0.0:\n", "        if not timeout < 0.0:\n"),
    _planted(DOOR, "a truth is a slot", " or isinstance(from_slot, bool):", ":"),
    _planted(
        KINDS,
        "a truth is a number",
        "if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):",
        "if not isinstance(value, types):",
    ),
    _planted(
        PATIENCE, "a slow node is left again and again", "        if address in self._left:\n", "        if False:\n"
    ),
    _planted(
        PATIENCE, "patience is for ever", "return self._times if now_s < self._until_s else 1", "return self._times"
    ),
    _planted(
        PATIENCE,
        "patience has no end",
        "min(SLOWER_TIMES * self.times(now_s), SLOWEST_TIMES)",
        "SLOWER_TIMES * self.times(now_s)",
    ),
    _planted(
        KEPT, "the least recent goes, whatever it keeps", "(-each.kept_bytes, each.last_slot,", "(each.last_slot,"
    ),
    _planted(
        KEPT,
        "what is acknowledged counts for ever",
        "session.kept_bytes - session.counted_bytes\n",
        "max(0, session.kept_bytes - session.counted_bytes)\n",
    ),
    _planted(
        KEPT,
        "a replica that starts has kept nothing",
        "        for session in sessions:\n            self._count(session)\n",
        "",
    ),
    _planted(PRINTING, "a note may end a command", "    except (OSError, MemoryError):", "    except MemoryError:"),
    _planted(
        PRINTING,
        "what was done is undone where it can't be told",
        "        if error.filename != STDOUT:\n",
        "        if True:\n",
    ),
    _planted(PRINTING, "columns are believed", "and int(text) in SIZES", ""),
    _planted(SHOWN, "the direction of writing is turned", "\\u2028-\\u202e", "\\u2028-\\u2029"),
    _planted(
        HOSTS, "a resolver that hangs holds the command up", "trio.move_on_after(LOOK_UP_S)", "trio.move_on_after(60.0)"
    ),
    _planted(HOSTS, "an unknown host is no problem", "problems[address] = str(error)", "del problems[address]"),
)
