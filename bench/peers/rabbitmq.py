"""Three RabbitMQ nodes as Debian ships them: a quorum queue of three replicas, each message confirmed to its publisher.

There are no keys in a queue: it keeps as many messages as the others have keys, and drops its oldest for the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from ..child_process import Child, free_ports, started
from ..errors import ChildFailed
from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..load.window import During
from ..systems import LOOPBACK, Cluster, Host, System
from .generators import measure_with, missing_parts, package_version, prepare_with

_GENERATOR = "rabbitmq_load"
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_COOKIE = "bench"
_START_S_MAX = 180.0
_KEYS = LoadPlan().keys
_ASKING = """
Ask = fun(Node, Module, Function, Words) -> rpc:call(Node, Module, Function, Words, 1000) end,
Answer = fun
  ("leader", Node) ->
    case Ask(Node, ra_leaderboard, lookup_leader, ['%2F_bench']) of {_, Leader} -> Leader; _ -> none end;
  ("running", Node) ->
    case Ask(Node, rabbit, is_running, []) of
      true -> case Ask(Node, rabbit_mnesia, cluster_nodes, [running]) of Nodes when is_list(Nodes) -> length(Nodes);
                                                                       _ -> 0 end;
      _ -> 0
    end
end,
Loop = fun Again() ->
  case io:get_line("") of
    eof -> halt();
    Line ->
      [Number, Question, Node] = string:lexemes(Line, " \\n"),
      io:format("~s ~p~n", [Number, Answer(Question, list_to_atom(Node))]),
      Again()
  end
end,
Loop().
"""
"""A hidden Erlang node that answers lines: RabbitMQ's own command takes two seconds of CPU for the same question."""


@attrs.frozen
class _Node:
    name: str
    erlang_name: str
    address: str
    child: Child


class RabbitCluster(Cluster):
    """A running one."""

    def __init__(self, members: list[_Node], asker: Child, folder: Path) -> None:
        self._members = members
        self._asker = asker
        self._folder = folder
        self._questions = 0

    @property
    def servers(self) -> Mapping[str, int]:
        return {member.name: member.child.pid for member in self._members}

    async def leader(self, *, without: str = "") -> str:
        """Ask the nodes in turn until one says that it leads the queue."""
        with trio.move_on_after(_START_S_MAX):
            while True:
                for member in (each for each in self._members if each.name != without and each.child.is_running):
                    if member.erlang_name in await self._ask("leader", member):
                        return member.name
                await trio.sleep(0.1)
        raise ChildFailed("RabbitMQ: no node leads the queue")

    async def wait_until_running(self, nodes: int) -> None:
        """Until every node that was started is up and sees so many. Raises ``ChildFailed``."""
        with trio.move_on_after(_START_S_MAX):
            while not all([await self._ask("running", member) == str(nodes) for member in self._members]):
                for member in self._members:
                    member.child.check_running()
                await trio.sleep(0.3)
            return
        raise ChildFailed(f"RabbitMQ: its {nodes} nodes are not up after {_START_S_MAX:.0f} s")

    async def _ask(self, question: str, member: _Node) -> str:
        self._questions += 1
        self._asker.say(f"{self._questions} {question} {member.erlang_name}")
        async for line in self._asker.lines():
            number, _, answer = line.decode().strip().partition(" ")
            if number == str(self._questions):  # not of a question that nobody waits for any more
                return answer
        raise ChildFailed("RabbitMQ: the Erlang node that asks the others has ended")

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load on the leader of the queue alone, which saves RabbitMQ a hop; on the others if it is to fail."""
        leader = await self.leader()
        endpoints = [each.address for each in self._members if (each.name == leader) != bool(during)]
        return await measure_with(
            _GENERATOR, plan, endpoints, self.servers, system="rabbitmq", folder=self._folder, during=during
        )


class RabbitMQ(System):
    """RabbitMQ from Debian's ``rabbitmq-server``."""

    name = "rabbitmq"
    durability = "fsync on a quorum before the answer"
    asked = "its queue's leader alone"
    is_compiled_while_it_runs = True
    settles_s = 3.0
    stop_gap_s_max = 30.0

    def missing(self) -> str | None:
        return missing_parts(_SERVER, _GENERATOR)

    def version(self) -> str:
        return package_version("rabbitmq-server")

    @asynccontextmanager
    async def running(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[RabbitCluster]:
        (epmd_port,) = free_ports(1)
        names = [f"rabbit{number}@{host.address}" for number, host in enumerate(hosts, start=1)]
        ports = zip(free_ports(len(hosts)), free_ports(len(hosts)), strict=True)
        with ExitStack() as stack:
            for host in dict.fromkeys([*hosts, LOOPBACK]):
                # Erlang's name server; a node that found none would start one that outlives everybody.
                command = [*host.enter, "epmd", "-port", str(epmd_port), "-address", host.address]
                stack.enter_context(started(command, log_path=folder / "epmd.log"))
            asker = stack.enter_context(_asker(folder, epmd_port))
            members: list[_Node] = []
            cluster = RabbitCluster(members, asker, folder)
            for host, name, (client_port, link_port) in zip(hosts, names, ports, strict=True):
                short = name.partition("@")[0]
                environment = _environment(folder / short, name, host, client_port, link_port, epmd_port, names)
                child = stack.enter_context(
                    started([*host.enter, str(_SERVER)], log_path=folder / f"{short}.log", environment=environment)
                )
                members.append(_Node(short, name, f"{host.address}:{client_port}", child))
                if len(members) in (1, len(hosts)):  # the others join the first one, side by side
                    await cluster.wait_until_running(len(members))
            await prepare_with(_GENERATOR, [members[0].address], folder, replicas=len(hosts), keys=_KEYS)
            await cluster.leader()
            yield cluster


def _environment(
    folder: Path, name: str, host: Host, client_port: int, link_port: int, epmd_port: int, everybody: Sequence[str]
) -> dict[str, str]:
    """Names, addresses and folders: everything that decides speed and durability stays as shipped."""
    folder.mkdir()
    configuration = folder / "rabbitmq.conf"
    peers = [f"cluster_formation.classic_config.nodes.{number} = {each}" for number, each in enumerate(everybody, 1)]
    configuration.write_text(
        "\n".join([f"listeners.tcp.1 = {host.address}:{client_port}", "loopback_users = none", *peers, ""])
    )
    return {
        "HOME": str(folder),
        "RUNNING_UNDER_SYSTEMD": "true",  # so that its script becomes the server instead of waiting for it
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_USE_LONGNAME": "true",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_DIST_PORT": str(link_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-setcookie {_COOKIE}",
        "ERL_EPMD_PORT": str(epmd_port),
    }


def _asker(folder: Path, epmd_port: int) -> AbstractContextManager[Child]:
    command = [
        "erl",
        "-noshell",
        "-hidden",
        "-name",
        f"asker@{LOOPBACK.address}",
        "-setcookie",
        _COOKIE,
        "-eval",
        _ASKING,
    ]
    return started(
        command,
        log_path=folder / "asker.log",
        has_pipes=True,
        environment={"ERL_EPMD_PORT": str(epmd_port), "HOME": str(folder)},
    )
