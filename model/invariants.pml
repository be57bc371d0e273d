/* What must hold: the invariants, numbered as in the documents and in the code. */

/* 1. At most one copy of an entity simulates with authority, and it agrees with the record. */
#define AGREES(p, e) (durable.gone[e] || (durable.ver[e] == ver[D(p, e)] && \
    durable.sec[e] == sec[D(p, e)] && durable.owner[sec[D(p, e)]] == OWN(p) && \
    durable.epoch[sec[D(p, e)]] == sep[T(p, sec[D(p, e)])]))
#define STRAY(p, e) (SIMULATES(p, e) && !AGREES(p, e))
#define BOTH(p, q, e) (SIMULATES(p, e) && SIMULATES(q, e))
#define TORN(p, q) (o_group && SIMULATES(p, 0) && SIMULATES(q, NE - 1))
/* 4. One owner for each epoch of a sector. */
#define SHARED(p, q, s) (ss[T(p, s)] != 0 && ss[T(q, s)] != 0 && sep[T(p, s)] == sep[T(q, s)])
#if NP > 2
#define FOR_PAIRS(X) (X(0, 1) || X(0, 2) || X(1, 2))
#define FOR_SHARDS(X) (X(0) || X(1) || X(2))
#else
#define FOR_PAIRS(X) (X(0, 1))
#define FOR_SHARDS(X) (X(0) || X(1))
#endif
#define STRAY_0(p) STRAY(p, 0)
#define BOTH_0(p, q) BOTH(p, q, 0)
#define STRAY_1(p) STRAY(p, NE - 1)
#define BOTH_1(p, q) BOTH(p, q, NE - 1)
#define TORN_2(p, q) (TORN(p, q) || TORN(q, p))
#define SHARED_0(p, q) SHARED(p, q, 0)
#define SHARED_1(p, q) SHARED(p, q, 1)
/* 5. Nothing simulates once its incarnation is fenced. */
#define ZOMBIE(p) (durable.reg[p] == 2 && (SIMULATES(p, 0) || SIMULATES(p, NE - 1)))

/* A failed assertion prints its text: these are always 0 and lend it the invariant's name. */
hidden byte I1_group_simulates_as_one;
hidden byte I1_one_simulates_and_agrees;
hidden byte I2_one_record;
hidden byte I3_ticks_rise;
hidden byte I3_updates_rise;
hidden byte I3_versions_rise;
hidden byte I4_one_owner_per_epoch;
hidden byte I5_fenced_has_no_effect;
hidden byte I6_durable_before_visible;
hidden byte I7_active_again;
hidden byte I8_nothing_dropped;
hidden byte I9_replay_equals_memory;

inline simulated(p_, e_) {
    assert(durable.reg[p_] != 2 || I5_fenced_has_no_effect);
    assert(tick[D(p_, e_)] >= g_tick[e_] || I3_ticks_rise)
}

/* What a deposed leader decides has no effect: its commit fails. */
inline from_fenced(l_, p_) {
    assert(durable.reg[p_] != 2 || !LEADS(l_) || I5_fenced_has_no_effect)
}
inline durable_row(n_, v_) {
    assert(durable.ver[n_] >= (v_) || durable.gone[n_] || I6_durable_before_visible)
}
inline durable_exit(n_) {
    assert(x[n_] == 0 || durable.ver[n_] > VER(x[n_]) || I6_durable_before_visible)
}
inline durable_epoch(s_, e_) { assert(durable.epoch[s_] >= (e_) || I6_durable_before_visible) }
inline created(e_) { assert(!g_created[e_] || I8_nothing_dropped); g_created[e_] = 1 }
inline destroyed(e_) {
    assert((g_created[e_] && !g_destroyed[e_]) || I8_nothing_dropped); g_destroyed[e_] = 1
}
/* A shard is lost: what it simulated after its last update that arrived may be lost. */
inline rolled_back(e_, t_) {
    g_tick[e_] = (g_tick[e_] < (t_) -> g_tick[e_] : (t_)); g_orphan[e_] = 1
}
#define unused(e_) (!(g_asked & (1 << (e_))) && durable.ver[e_] == 0)

/* After each commit. */
inline check_replay(l_) {
    for (n : 0 .. NE - 1) {
        assert((g_created[n] == (durable.ver[n] > 0) && g_destroyed[n] == durable.gone[n]) ||
            I8_nothing_dropped);
        assert(!(g_created[n] && !g_destroyed[n]) || (durable.ver[n] > 0 && !durable.gone[n]) ||
            I2_one_record);
        assert(durable.ver[n] >= g_ver[n] || I3_versions_rise);
        g_ver[n] = durable.ver[n];
        assert((durable.ver[n] == rec[l_].ver[n] && durable.sec[n] == rec[l_].sec[n] &&
            durable.tick[n] == rec[l_].tick[n] && durable.gone[n] == rec[l_].gone[n] &&
            durable.asker[n] == rec[l_].asker[n]) || I9_replay_equals_memory)
    }
    for (n : 0 .. NS - 1) {
        assert((durable.owner[n] == rec[l_].owner[n] && durable.epoch[n] == rec[l_].epoch[n]) ||
            I9_replay_equals_memory);
        if
        :: durable.owner[n] != NOBODY ->
            assert(g_epoch_owner[n * 8 + durable.epoch[n]] == 0 ||
                g_epoch_owner[n * 8 + durable.epoch[n]] == durable.owner[n] + 1 ||
                I4_one_owner_per_epoch);
            g_epoch_owner[n * 8 + durable.epoch[n]] = durable.owner[n] + 1
        :: else
        fi
    }
    for (n : 0 .. NP - 1) {
        assert((durable.reg[n] == rec[l_].reg[n] && durable.serial[n] == rec[l_].serial[n]) ||
            I9_replay_equals_memory)
    }
}
inline taken_over(l_) {
    for (n : 0 .. NE - 1) {
        assert(!(g_created[n] && !g_destroyed[n] && !o_split) || durable.ver[n] > 0 ||
            I2_one_record);
        /* The server went too, before the lost shard's entities had a new record. */
        if
        :: g_orphan[n] && durable.tick[n] < g_tick[n] -> g_tick[n] = durable.tick[n]
        :: else
        fi
    }
}

/* 7. When nothing more can happen, all is as the record says, and runs. */
inline at_rest() {
    q = (LEADS(0) -> 0 : 1);
    assert(LEADS(q) || I7_active_again);
    for (p2 : 0 .. NP - 1) {
        i2 = I(q, p2);
        assert(!alive[p2] || (sess[p2] == q && ready[p2] && same[i2] && lopen[i2] &&
            !expired[p2] && rec[q].reg[p2] == 1) || I7_active_again);
        assert(alive[p2] || rec[q].reg[p2] != 1 || I7_active_again);
        for (s : 0 .. NS - 1) {
            assert(((alive[p2] && OWNS(q, p2, s)) ==
                (ss[T(p2, s)] == RUNNING && sep[T(p2, s)] == rec[q].epoch[s])) || I7_active_again);
            assert(ss[T(p2, s)] == 0 || (alive[p2] && OWNS(q, p2, s)) || I7_active_again);
            assert(!move[q * NS + s] || I7_active_again)
        }
        for (e : 0 .. NE - 1) {
            i2 = D(p2, e);
            s = rec[q].sec[e];
            if
            :: alive[p2] && rec[q].ver[e] > 0 && !rec[q].gone[e] && OWNS(q, p2, s) ->
                assert((phase[i2] == HELD && ver[i2] == rec[q].ver[e] && sec[i2] == s) ||
                    I7_active_again);
                assert(!o_updates || newest[q * NE + e] == tick[i2] || I7_active_again)
            :: else -> assert(phase[i2] == 0 || I7_active_again)
            fi
        }
    }
    for (e : 0 .. NE - 1) {
        assert(rec[q].ver[e] == 0 || rec[q].gone[e] || rec[q].owner[rec[q].sec[e]] != NOBODY ||
            I7_active_again)
    }
}

