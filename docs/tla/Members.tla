------------------------------ MODULE Members ------------------------------
(* The changes of members of docs/PROTOCOL.md (M1-M7, M11, CAS) over its      *)
(* Multi-Paxos (P1-P9), and a node that loses its disk.                       *)
(*                                                                            *)
(* What is said is never taken back: a lost message is one that nobody reads, *)
(* a late or a doubled one is read later, or again.  So messages are not kept *)
(* one by one: `prop` is every Accept, `vote` every Accepted, and a Promise   *)
(* is what its acceptor voted for below the ballot, which cannot change after *)
(* it was promised (Lamport's Voting algorithm), and the position `ct` that   *)
(* it had by then.                                                            *)
(*                                                                            *)
(* A ballot is era * 100 + counter * 10 + node.  Left out, so that more is    *)
(* allowed here than in the program: that a change waits for its leader's     *)
(* barrier (M1), and the pre-flight (M10).  Not here: snapshots, compaction,  *)
(* learners, durability of positions.                                         *)
EXTENDS Integers, Sequences, FiniteSets
CONSTANTS
  Nodes,        \* numbers from 1 to 9
  NSlots,       \* slots are 1 to NSlots
  Ballots,      \* those that may be begun
  Changing,     \* those whose leader may propose a change
  Founders,     \* the voters of version 1
  SetA, VerA,   \* a Membership "A", and the version it carries
  SetB, VerB,   \* and a Membership "B"
  Changes,      \* which of the two may be proposed: a subset of {"A", "B"}
  MayLose,      \* whose disks may be lost, once each
  Start,        \* where it begins, see Init
  Faults        \* rules left out: a subset of the names that `On` is asked for
VARIABLES
  prom,   \* acceptor: what it has promised, 0: nothing
  ct,     \* acceptor, ballot: how far it knew the log chosen when it promised, -1: it has not
  vote,   \* acceptor, slot: the ballots at which it ever voted there
  gone,   \* acceptor, slot: the votes it has lost with its disk
  log,    \* node: what it has released
  cand,   \* node: the ballot it leads or tries to lead at, 0: none
  leads,  \* node: whether phase 1 is over
  asked,  \* ballot: the version and the set it was begun in, version 0: it was not
  prop,   \* ballot, slot: what was proposed, "": nothing
  lost    \* node: what it had promised when it lost its disk, -1: it has not
vars == <<prom, ct, vote, gone, log, cand, leads, asked, prop, lost>>

On(fault) == fault \in Faults
Slots == 1..NSlots
Era(b) == b \div 100
NodeOf(b) == b % 10
Max(S) == CHOOSE x \in S : \A y \in S : y <= x
IsQuorum(Q, S) == 2 * Cardinality(Q \cap S) > Cardinality(S)
Quorums(S) == {Q \in SUBSET S : IsQuorum(Q, S)}
Command(n) == <<"c1", "c2", "c3", "c4", "c5", "c6">>[n]

(* ---- memberships: compare-and-set, decided by the order of the log ---- *)
First == [ver |-> 1, set |-> Founders]
SetOf(v) == IF v = "A" THEN SetA ELSE SetB
VerOf(v) == IF v = "A" THEN VerA ELSE VerB
Effective(c, v) ==
  v \in {"A", "B"} /\ (VerOf(v) = c.ver + 1 \/ (On("cas left out") /\ VerOf(v) = c.ver /\ SetOf(v) # c.set))
After(c, v) == IF Effective(c, v) THEN [ver |-> VerOf(v), set |-> SetOf(v)] ELSE c
RECURSIVE Fold(_, _)
Fold(c, values) == IF values = <<>> THEN c ELSE Fold(After(c, Head(values)), Tail(values))
Config(n) == Fold(First, log[n])
EraOf(n) == Config(n).ver - 1
Known(n) == Len(log[n])
IsLost(n) == lost[n] >= 0

(* ---- the acceptor (M3, M6) ---- *)
MayVote(a, b) ==
  /\ ~IsLost(a) \/ On("an amnesiac votes")
  /\ Era(b) <= EraOf(a) \/ On("votes in an era it has not adopted")
  /\ Era(b) >= EraOf(a) \/ On("no floor of the era")
  /\ b >= prom[a]

Init ==
  \* empty: nothing has happened.
  \* one:   ballot 11, promised by 1 and 2, proposed A in slot 1; only node 1 accepted it.
  \* cas:   ballot 11 proposed c1 in slot 1 and B in slot 2; only node 1 accepted them.
  \* drop:  ballot 11 proposed c1 in slots 1 and 2, and only node 1 accepted them; then ballot 12, promised by 2 and 3,
  \*        proposed A in slot 1, and only node 2 accepted it.
  \* void:  the other way round: ballot 11 proposed A in slot 1, then ballot 12 c2 in slots 1 and 2.
  \* era:   ballot 11 chose A in slot 1 with {1, 2}, and only node 1 has released it.
  LET P11 == CASE Start \in {"one", "void", "era"} -> <<"A", "">> [] Start = "cas" -> <<"c1", "B">>
               [] Start = "drop" -> <<"c1", "c1">> [] OTHER -> <<"", "">>
      P12 == CASE Start = "drop" -> <<"A", "">> [] Start = "void" -> <<"c2", "c2">> [] OTHER -> <<"", "">>
      Values(b) == IF b = 11 THEN P11 ELSE IF b = 12 THEN P12 ELSE <<"", "">>
      Begun(b) == Values(b)[1] # ""
      Value(b, s) == IF s <= 2 THEN Values(b)[s] ELSE ""
      Promisers(b) == IF ~Begun(b) THEN {} ELSE IF b = 11 THEN {1, 2} ELSE {2, 3}
      Holders(b) == IF b = 11 THEN IF Start = "era" THEN {1, 2} ELSE {1} ELSE {2}
      Promised(a) == Max({0} \cup {b \in Ballots : a \in Promisers(b)})
      Leading(n) == Max({0} \cup {b \in Ballots : Begun(b) /\ NodeOf(b) = n /\ Start # "era"})
  IN /\ prom = [a \in Nodes |-> Promised(a)]
     /\ ct = [a \in Nodes |-> [b \in Ballots |-> IF a \in Promisers(b) THEN 0 ELSE -1]]
     /\ vote = [a \in Nodes |-> [s \in Slots |-> {b \in Ballots : Value(b, s) # "" /\ a \in Holders(b)}]]
     /\ gone = [a \in Nodes |-> [s \in Slots |-> {}]]
     /\ log = [n \in Nodes |-> IF Start = "era" /\ n = 1 THEN <<"A">> ELSE <<>>]
     /\ cand = [n \in Nodes |-> Leading(n)]
     /\ leads = [n \in Nodes |-> Leading(n) # 0]
     /\ asked = [b \in Ballots |-> IF Begun(b) THEN First ELSE [ver |-> 0, set |-> {}]]
     /\ prop = [b \in Ballots |-> [s \in Slots |-> Value(b, s)]]
     /\ lost = [n \in Nodes |-> -1]

(* ---- phase 1 ---- *)
Begin(b) == LET n == NodeOf(b)  c == Config(n) IN
  /\ ~IsLost(n) /\ n \in c.set /\ asked[b].ver = 0 /\ b > prom[n]
  /\ Era(b) = c.ver - 1 \/ (On("a candidate takes a higher era") /\ Era(b) > c.ver - 1)        \* M3
  /\ Known(n) < NSlots
  /\ asked' = [asked EXCEPT ![b] = c]
  /\ prom' = [prom EXCEPT ![n] = b]                                                            \* P1
  /\ ct' = [ct EXCEPT ![n][b] = Known(n)]
  /\ cand' = [cand EXCEPT ![n] = b] /\ leads' = [leads EXCEPT ![n] = FALSE]
  /\ UNCHANGED <<vote, gone, log, prop, lost>>

\* Whoever led at a lower ballot gives it up.  A promise to a ballot that is given up or leads already can only forbid
\* later steps, so it is left out.
Promise(a, b) == LET n == NodeOf(b) IN
  /\ cand[n] = b /\ ~leads[n] /\ a \in asked[b].set /\ b > prom[a] /\ MayVote(a, b)
  /\ prom' = [prom EXCEPT ![a] = b]
  /\ ct' = [ct EXCEPT ![a][b] = Known(a)]
  /\ cand' = [cand EXCEPT ![a] = 0] /\ leads' = [leads EXCEPT ![a] = FALSE]
  /\ UNCHANGED <<vote, gone, log, asked, prop, lost>>

\* The highest ballot at which anybody of Q reports a vote for s below b.  What it promised before it lost its disk, it
\* had said by then.
Reported(Q, b, s) ==
  LET told(a) == IF s <= ct[a][b] THEN {}                     \* by position alone (P3)
                 ELSE IF IsLost(a) /\ b > lost[a] THEN vote[a][s] \ gone[a][s] ELSE vote[a][s]
      bs == UNION {{v \in told(a) : v < b} : a \in Q}
  IN IF bs = {} THEN 0 ELSE Max(bs)

\* M4: what a candidate that knows `c` proposes first, from slot `from` + 1 on.
Plan(c, from, best) ==
  LET seen == {s \in Slots : s > from /\ best[s] > 0}
      top == IF seen = {} THEN from ELSE Max(seen)
      value(s) == IF best[s] = 0 THEN "no-op" ELSE prop[best[s]][s]
      isStop(s) == Effective(c, value(s))
      isVoid(s) == ~On("void rule left out") /\ isStop(s) /\ \E t \in seen : t > s /\ best[t] > best[s]
      stops == {s \in (from + 1)..top : isStop(s) /\ ~isVoid(s)}
      last == IF stops = {} \/ On("adopts above a stop") THEN top ELSE CHOOSE s \in stops : \A t \in stops : s <= t
  IN [s \in Slots |-> IF s <= from \/ s > last THEN "" ELSE IF isVoid(s) THEN "no-op" ELSE value(s)]

\* The leader's own vote is one step with its proposal: it gives the ballot up when it promises another one.
Propose(n, b, plan) ==
  /\ prop' = [prop EXCEPT ![b] = [s \in Slots |-> IF plan[s] = "" THEN @[s] ELSE plan[s]]]
  /\ vote' = [vote EXCEPT ![n] = [s \in Slots |-> IF plan[s] = "" THEN @[s] ELSE @[s] \cup {b}]]

Lead(n) == LET b == cand[n]  c == Config(n) IN
  /\ b # 0 /\ ~leads[n]
  /\ \E Q \in Quorums(c.set) :
       /\ \A a \in Q : ct[a][b] >= 0
       /\ \A a \in Q : ct[a][b] <= Known(n) \/ On("does not learn first")                       \* P4
       /\ Propose(n, b, Plan(c, Known(n), [s \in Slots |-> Reported(Q, b, s)]))
  /\ leads' = [leads EXCEPT ![n] = TRUE]
  /\ UNCHANGED <<prom, ct, gone, log, cand, asked, lost>>

(* ---- phase 2 ---- *)
Own(n) == {s \in Slots : s > Known(n) /\ prop[cand[n]][s] # ""}
New(n) == LET b == cand[n]  c == Config(n)  s == 1 + Max({Known(n)} \cup Own(n)) IN
  /\ b # 0 /\ leads[n] /\ s <= NSlots
  /\ \A t \in Own(n) : ~Effective(c, prop[b][t]) \/ On("proposes above a stop")                  \* M1
  /\ \E v \in {Command(n)} \cup {m \in Changes : b \in Changing /\ Effective(c, m)} :
       Propose(n, b, [t \in Slots |-> IF t = s THEN v ELSE ""])
  /\ UNCHANGED <<prom, ct, gone, log, cand, leads, asked, lost>>

Accept(a, b, s) ==
  /\ prop[b][s] # "" /\ b \notin vote[a][s] /\ a \in asked[b].set /\ MayVote(a, b)
  /\ vote' = [vote EXCEPT ![a][s] = @ \cup {b}]
  /\ prom' = [prom EXCEPT ![a] = b]
  /\ IF cand[a] # b THEN cand' = [cand EXCEPT ![a] = 0] /\ leads' = [leads EXCEPT ![a] = FALSE]
                    ELSE UNCHANGED <<cand, leads>>
  /\ UNCHANGED <<ct, gone, log, asked, prop, lost>>

Voters(b, s) == {a \in Nodes : b \in vote[a][s]}
IsChosen(b, s) == prop[b][s] # "" /\ IsQuorum(Voters(b, s), asked[b].set)

(* ---- release; whoever releases a change has no ballot any more (M2, M5) ---- *)
Append1(n, v) ==
  /\ log' = [log EXCEPT ![n] = Append(@, v)]
  /\ IF Effective(Config(n), v) THEN cand' = [cand EXCEPT ![n] = 0] /\ leads' = [leads EXCEPT ![n] = FALSE]
                                ELSE UNCHANGED <<cand, leads>>
  /\ UNCHANGED <<prom, ct, vote, gone, asked, prop, lost>>

\* By votes of its own ballot; or (P6) on the word of the ballot that its record carries: that can be said once the votes
\* are counted, also before the leader has released the slot itself.
Release(n) == LET s == Known(n) + 1 IN
  /\ s <= NSlots /\ ~IsLost(n)
  /\ \E b \in Ballots :
       /\ IsChosen(b, s)
       /\ \/ cand[n] = b /\ leads[n]
          \/ NodeOf(b) # n /\ b \in vote[n][s] /\ b = Max(vote[n][s])
       /\ Append1(n, prop[b][s])

Learn(n, k) == ~IsLost(n) /\ ~IsLost(k) /\ Known(k) > Known(n) /\ Append1(n, log[k][Known(n) + 1])          \* P8

Lose(n) ==
  /\ n \in MayLose /\ ~IsLost(n) /\ lost' = [lost EXCEPT ![n] = prom[n]]
  /\ prom' = [prom EXCEPT ![n] = 0] /\ gone' = [gone EXCEPT ![n] = vote[n]]
  /\ log' = [log EXCEPT ![n] = <<>>]
  /\ cand' = [cand EXCEPT ![n] = 0] /\ leads' = [leads EXCEPT ![n] = FALSE]
  /\ UNCHANGED <<ct, vote, asked, prop>>

Next ==
  \/ \E b \in Ballots : Begin(b) \/ \E a \in Nodes : Promise(a, b) \/ \E s \in Slots : Accept(a, b, s)
  \/ \E n \in Nodes : Lead(n) \/ New(n) \/ Release(n) \/ Lose(n) \/ \E k \in Nodes : Learn(n, k)
Spec == Init /\ [][Next]_vars

(* ---- what holds ---- *)
\* Every node releases the same log.
Agree == \A n, k \in Nodes : \A s \in 1..(IF Known(n) < Known(k) THEN Known(n) ELSE Known(k)) : log[n][s] = log[k][s]
\* P5, over all votes and not only over what was released.
OneValue == \A b, d \in Ballots, s \in Slots : IsChosen(b, s) /\ IsChosen(d, s) => prop[b][s] = prop[d][s]
\* M2: one slot is counted by one set.
OneSet == \A b, d \in Ballots, s \in Slots : IsChosen(b, s) /\ IsChosen(d, s) => asked[b] = asked[d]
\* M2: nothing stands above a change at the ballot whose votes chose it.
NoneAbove == \A b \in Ballots, s, t \in Slots :
  IsChosen(b, s) /\ t > s /\ prop[b][t] # "" => ~Effective(asked[b], prop[b][s])
\* What was released was chosen by the set in force there.
RECURSIVE ConfigAt(_, _)
ConfigAt(n, s) == Fold(First, SubSeq(log[n], 1, s - 1))
ReleasedIsChosen == \A n \in Nodes : \A s \in 1..Known(n) :
  \E b \in Ballots : IsChosen(b, s) /\ prop[b][s] = log[n][s] /\ asked[b] = ConfigAt(n, s)
\* CAS: every version is one above the last, and stands for one set.
OneVersion == \A n, k \in Nodes : Config(n).ver = Config(k).ver => Config(n) = Config(k)
\* Two quorums of consecutive eras are linked by a released change.
ErasLinked == \A b \in Ballots : asked[b].ver > 1 =>
  \E n \in Nodes : \E s \in 1..Known(n) : Fold(First, SubSeq(log[n], 1, s)) = asked[b]
\* M5, M13: a leader that a quorum would confirm, with all its own chosen, lacks nothing that anybody has released.
StopCounted(n) == \E s \in Own(n) : IsChosen(cand[n], s) /\ Effective(Config(n), prop[cand[n]][s])
Serves(n) == cand[n] # 0 /\ leads[n] /\ (~StopCounted(n) \/ On("reads after the stop"))
Confirmed(n) == \E Q \in Quorums(Config(n).set) : \A a \in Q : MayVote(a, cand[n])
ReadSafe == \A n \in Nodes :
  Serves(n) /\ (\A s \in Own(n) : IsChosen(cand[n], s)) /\ Confirmed(n)
    => \A k \in Nodes : Known(k) <= Max({Known(n)} \cup Own(n))
Safe == Agree /\ OneValue /\ OneSet /\ NoneAbove /\ ReleasedIsChosen /\ OneVersion /\ ErasLinked /\ ReadSafe
\* To see that an instance gets anywhere: checked as if it held, it must not.
NothingDecidedInEra1 == \A b \in Ballots, s \in Slots : ~(Era(b) = 1 /\ IsChosen(b, s))
=============================================================================
