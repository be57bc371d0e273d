/* The state: the record, leaders, shards, links, bounds. */

#ifndef NP
#define NP 2            /* incarnations of shards; the third is a second process of shard 0's name */
#endif
#ifndef NE
#define NE 1            /* entities */
#endif
#define NL 2            /* leaders: a takeover uses the slot that does not lead */
#define NS 2            /* sectors */
#define CAP 8           /* messages in flight a link and direction; more is an error of the model */
#define NU 2            /* updates in flight */
#define NOBODY 3
#define LEASE 2         /* ticks */
#define ALLOWANCE 2     /* one tick that a slow shard loses, one that a fast server gains */

#define I(l, p) ((l) * NP + (p))
#define T(p, s) ((p) * NS + (s))
#define D(p, e) ((p) * NE + (e))

/* A row: version and tick of one entity in a message; 0 is no row. */
#define ROW(v, t) ((v) * 16 + (t) * 2 + 1)
#define VER(x) ((x) >> 4)
#define TICK(x) (((x) >> 1) & 7)
#define SAME 7          /* in place of a tick: as it was in the copy */

/* Messages: kind, then sector or entity, epoch, attempt or target, and a row for each entity. */
#define REQUEST 1       /* up: EntityTransitionRequest */
#define REMOVED 2       /* up: SectorRemoved */
#define SPAWN 3         /* up: a request from version 0, with a serial */
#define DESTROY 4       /* up: DestroyEntities */
#define READY 5         /* up: SectorReady */
#define VERDICT 6       /* down, as all that follow */
#define FENCED 7
#define ENTER 8         /* EntityEnterSector */
#define EXIT 9          /* ConfirmTransitionExit */
#define ACK 10          /* AcknowledgeTransition */
#define REFUSE 11       /* RefuseTransition */
#define ASSIGN 12       /* AssignSector with its SectorInitialState */
#define UNASSIGN 13     /* UnassignSector */
#define RESUME 14       /* ResumeSector */
#define RELEASE 15      /* ReleaseSector */
#define DESTROYED 16    /* EntitiesDestroyed */
#define PRECOPY 17      /* to a migration's target: a copy without rights */
#define COPY 18         /* to its source: CopySector */
#define COPIED 19       /* up: SectorCopy */

/* Journal records. */
#define J_REGISTER 1
#define J_ASSIGN 2
#define J_UNLOAD 3
#define J_HANDOFF 4
#define J_SPAWN 5
#define J_DESTROY 6
#define J_FENCE 7

/* Phases of an entity at a shard, and of a sector. */
#define HELD 1
#define PENDING 2
#define SPAWNING 3
#define DESTROYING 4
#define RUNNING 1
#define FROZEN 2

/* Verdicts on an entity. */
#define V_KEEP 1
#define V_BACK 2
#define V_ACK 3
#define V_WAIT 4
#define V_DROP 5
#define V_RESEND 6

/* Mutants: each breaks one rule; check.py knows which invariant must catch it. */
#define M_DEATH_EARLY 1
#define M_LEADER_DOES_NOT_WAIT 2
#define M_DRIFT_ONE_SIDED 3
#define M_SEND_BEFORE_COMMIT 4
#define M_INCARNATION_IGNORED 5
#define M_LOADING_CUSTODY_LOST 6
#define M_GROUP_MEMBER_FORGOTTEN 7
#define M_OUTDATED_REFUSED 8
#define M_REQUEST_REPEATED 9
#define M_DEPOSED_ANSWERS 10
#define M_NO_ATTEMPT_NUMBER 11
#define M_SOURCE_RESUMES_ITSELF 12
#define M_PRECOPY_RUNS 13
#define M_PENDING_NOT_IN_REMOVED 14
#define M_RECORD_WITHOUT_STATES 15
#define M_CLEANUP_BEFORE_RELEASE 16
#define M_ARRIVAL_IGNORED 17
#define M_NOT_DIRTY 18
#define M_UPDATES_UNORDERED 19
#define M_DESTROY_NOT_TOLD 20
#define M_SPAWN_REPEATED 21
#define M_GROUP_TWO_SECTORS 22
#define M_RESTART_IS_DEATH 23
#define M_BOOKS_BY_NAME 24
#define M_VERDICT_NOT_FIRST 25
#define M_HANDOFF_OVERTAKES 26
#define M_REPLAY_SKIPS 27
#define M_LOSS_NOT_DIRTY 28
#define M_DEAF_EXTENDED 29
#define M_SAME_BY_VERSION 30
#define M_COPY_OF_ANOTHER_ATTEMPT 31
/* Readings of the design that the model found wrong; docs/decisions/ownership-model.md. */
#define M_ACK_BY_OWNER_ALONE 41
#define M_WAIT_BY_VERSION_ALONE 42
#define M_RELEASE_DROPS_SHADOWS 43
hidden byte mutant;
#define IS(m) (mutant == m)

/* Witnesses: what a search must meet, or it proves nothing about it. check.py names one, and the
 * search has to fail there. */
#define W_VERDICT_KEEP 1
#define W_VERDICT_BACK 2
#define W_VERDICT_ACK 3
#define W_VERDICT_WAIT 4
#define W_VERDICT_DROP 5
#define W_VERDICT_RESEND_SPAWN 6
#define W_VERDICT_RESEND_DESTROY 7
#define W_VERDICT_DROPS_SECTOR 8
#define W_LACKING_SECTOR_SENT 9
#define W_LACKING_ENTITY_SENT 10
#define W_STALE_REMOVED 11
#define W_PENDING_IN_REMOVED 12
#define W_ARRIVAL_WHILE_FROZEN 13
#define W_ACK_WHILE_FROZEN 14
#define W_SHADOW_OUTLIVES_RELEASE 15
#define W_OUTDATED_REQUEST 16
#define W_DEPOSED_DECIDES 17
#define W_UPDATE_FENCED 18
#define W_UPDATE_OLDER 19
#define W_SESSION_END_ABORTS 22
#define W_FENCED_IS_TOLD 23
#define W_DESTROYED_PENDING 24
#define W_COMMIT_FAILS 25
#define W_LOADED_AGAIN 26
#define W_ARRIVAL_WITHOUT_LEASE 27
#define W_FROM_COPY 28
#define W_COPY_LEFT_OUT 29
#define W_CHANGED_SINCE_COPY 30
#define W_STALE_COPIED 31
#define W_ABORT_WHILE_COPYING 32
hidden byte witness;
hidden byte witnessed;      /* always 0: its name is what pan prints */
#define MET(w) assert(witness != (w) || witnessed)
#define MET_IF(w, when) assert(!(when) || witness != (w) || witnessed)

c_decl {
static int bound(const char *name, int otherwise)
{ const char *text = getenv(name); return text ? atoi(text) : otherwise; }
}

/* What may still happen: a bound for each kind, counted down. */
byte b_move, b_step, b_break, b_takeover, b_leader_crash, b_shard_crash, b_restart;
byte b_migrate, b_unload, b_abort, b_refuse, b_spawn, b_destroy, b_op_destroy;
byte b_expire, b_fence, b_lose, b_tick, b_slow, b_fast, b_heartbeat;
/* What the scenario is, fixed. */
hidden byte o_two_leaders, o_group, o_split, o_timers, o_updates, o_ready, spawn_into;
byte o_end;                 /* the check at rest is still to be made */
byte g_asked;               /* ids that a spawn was asked for */

/* The record: a leader's books, and what the journal amounts to. */
typedef Record {
    byte owner[NS]; byte epoch[NS];
    byte ver[NE]; byte sec[NE]; byte tick[NE]; bit gone[NE];
    byte asker[NE];         /* who asked for the handoff into custody; nobody held it since */
    byte reg[NP];           /* 0 unknown, 1 registered, 2 fenced */
    byte serial[NP];        /* the highest spawn decided */
}
Record rec[NL];
Record durable;
byte store_term;
/* Decided and not yet committed, where a scenario takes commits apart from decisions. */
chan queue[NL] = [2] of { byte, byte, byte, byte, byte, byte };

/* A leader, besides its record: all forgotten when it ends. */
#define STOPPING 255
#define UP(l) (term[l] != 0 && term[l] != STOPPING)
byte term[NL];              /* 0: not running */
bit lopen[NL * NP];         /* a session is open, as the leader sees it */
byte newest[NL * NE];       /* the newest tick received of each entity */
byte move[NL * NS];         /* 1: frozen for a migration or an unload, awaiting SectorRemoved;
                             * 2: being copied, and running */
byte sent[NL * NE];         /* the row that the target of a migration was sent early */
byte attempt[NL * NS];
byte target[NL * NS];
byte awaits[NL * NE];       /* who is to be answered when the entity's sector has an owner */
bit loading[NL * NS];       /* assigned, SectorReady not heard */
byte death[NL * NP];        /* ticks until a shard not heard of may be declared dead */

/* A shard's process. */
bit alive[NP], born[NP];
byte seen[NP];              /* the highest term seen */
byte sess[NP];              /* the leader it has a session with */
bit ready[NP];              /* the verdict has come */
bit expired[NP];            /* no lease (scenarios without a clock) */
byte ss[NP * NS], sep[NP * NS], sat[NP * NS];
byte phase[NP * NE], ver[NP * NE], sec[NP * NE], asked[NP * NE], tick[NP * NE];
bit dirty[NP * NE];
byte early[NP * NE];        /* at a target: a pre-copied row, */
byte esec[NP * NE];         /* of that sector's copy */
byte mine[NP * NE];         /* at a source: the row as it was copied, */
byte cat[NP * NS];          /* for that attempt */
byte serial[NP], eserial[NP * NE];
/* Leases by the clock. */
byte lease[NP], hb[NP], hbl[NP], hbage[NP];

/* Links. A session's two ends are on the same one while `same`; what was sent before it ended
 * may arrive until the other end notices. */
chan up[NL * NP] = [CAP] of { byte, byte, byte, byte, byte, byte };
chan down[NL * NP] = [CAP] of { byte, byte, byte, byte, byte, byte };
bit same[NL * NP];
bit hello[NL * NP];         /* an opening, with the inventory, is on its way */
byte held_back[NL * NP];    /* messages at the end of `down` that await a commit */
/* Updates: unordered, lossy. */
byte u_on[NU], u_l[NU], u_p[NU], u_e[NU], u_ver[NU], u_epoch[NU], u_tick[NU];

/* What only the invariants read. */
byte g_tick[NE];            /* the newest tick that anybody simulated and that may not be lost */
byte g_ver[NE];
bit g_orphan[NE];           /* its shard was lost, and no record was made since */
bit g_created[NE], g_destroyed[NE];
byte g_epoch_owner[NS * 8];

/* Scratch, not part of the state: every step sets it before it reads it. */
hidden byte kind, a, b, c, e, s, p2, i2, n, q, runs;
hidden byte x[2], y[2], z[2], v[2], r[2], w[2];      /* rows of entities 0 and 1 */
hidden byte good;

/* The scenario with books by name takes a shard's second process for its first. */
#define OWN(p) ((IS(M_INCARNATION_IGNORED) && (p) == 2) -> 0 : (p))
#define OWNS(l, p, s) (rec[l].owner[s] == OWN(p))
#define INVENTORY_HAS(l, p, s) (ss[T(p, s)] != 0 && sep[T(p, s)] == rec[l].epoch[s])
#define LEASED(p) (o_timers -> lease[p] > 0 : !expired[p])
#define RUNS(p, s) (ss[T(p, s)] == RUNNING)
#define SIMULATES(p, e) (alive[p] && LEASED(p) && phase[D(p, e)] == HELD && RUNS(p, sec[D(p, e)]))
#define LEADS(l) (term[l] != 0 && term[l] == store_term)


/* A leader sends: in a session that is over at the other end it reaches nobody. While a
 * decision awaits its commit, all that is sent waits behind it. */
inline send(l_, p_, k_, a_, b_, c_, r0_, r1_) {
    if
    :: same[I(l_, p_)] && lopen[I(l_, p_)] ->
        down[I(l_, p_)]!k_, a_, b_, c_, r0_, r1_;
        if
        :: len(queue[l_]) > 0 && !IS(M_SEND_BEFORE_COMMIT) -> held_back[I(l_, p_)]++
        :: else
        fi
    :: else
    fi
}
