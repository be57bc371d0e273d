/* A shard's process: one incarnation. What it asks, how it takes the leader's messages. */

#define LINK(p) ((sess[p] % NL) * NP + p)

inline send_up(p_, k_, a_, b_, c_, r0_, r1_) {
    if
    :: sess[p_] != NOBODY && same[LINK(p_)] -> up[LINK(p_)]!k_, a_, b_, c_, r0_, r1_
    :: else
    fi
}

inline drop(i_) {
    phase[i_] = 0; ver[i_] = 0; sec[i_] = 0; asked[i_] = 0; tick[i_] = 0; dirty[i_] = 0;
    eserial[i_] = 0
}

inline drop_sector(p_, s_) {
    ss[T(p_, s_)] = 0; sep[T(p_, s_)] = 0; sat[T(p_, s_)] = 0; cat[T(p_, s_)] = 0
}

inline hang_up(p_) {
    i2 = LINK(p_);
    same[i2] = 0; hello[i2] = 0; held_back[i2] = 0;
    do
    :: len(down[i2]) > 0 -> down[i2]?kind, a, b, c, x[0], x[1]
    :: else -> break
    od;
    sess[p_] = NOBODY; ready[p_] = 0;
    hb[p_] = 0; hbl[p_] = 0; hbage[p_] = 0;
    for (n : 0 .. NU - 1) {
        if
        :: u_on[n] && u_p[n] == p_ -> clear_update(n)
        :: else
        fi
    }
}

/* The process ends: by a crash, or because it was told that it is fenced. */
inline end_shard(p_) {
    if
    :: sess[p_] != NOBODY -> hang_up(p_)
    :: else
    fi;
    alive[p_] = 0; seen[p_] = 0; lease[p_] = 0; expired[p_] = 0; serial[p_] = 0;
    for (n : 0 .. NS - 1) { drop_sector(p_, n) }
    for (n : 0 .. NE - 1) { drop(D(p_, n)); early[D(p_, n)] = 0; esec[D(p_, n)] = 0; mine[D(p_, n)] = 0 }
}

inline begin_shard(p_) { alive[p_] = 1; born[p_] = 1 }

/* Install row x of entity n_ in sector s_: unless an equal or higher version is here. */
inline install(p_, n_, x_, s_) {
    if
    :: (x_) != 0 && (phase[D(p_, n_)] == 0 || ver[D(p_, n_)] < VER(x_)) ->
        drop(D(p_, n_));
        phase[D(p_, n_)] = HELD; ver[D(p_, n_)] = VER(x_); sec[D(p_, n_)] = s_;
        tick[D(p_, n_)] = TICK(x_); dirty[D(p_, n_)] = o_updates;
        durable_row(n_, VER(x_))
    :: else
    fi
}

/* All that has run so far is sent again. */
inline all_dirty(p_) {
    for (n : 0 .. NE - 1) {
        if
        :: phase[D(p_, n)] == HELD && o_updates && !IS(M_NOT_DIRTY) -> dirty[D(p_, n)] = 1
        :: else
        fi;
        early[D(p_, n)] = 0; esec[D(p_, n)] = 0; mine[D(p_, n)] = 0
    }
    for (n : 0 .. NS - 1) { cat[T(p_, n)] = 0 }
}

inline acknowledged(p_, n_, s_) {
    i2 = D(p_, n_);
    phase[i2] = HELD; ver[i2] = ver[i2] + 1; sec[i2] = s_; asked[i2] = 0; eserial[i2] = 0;
    dirty[i2] = o_updates;
    durable_row(n_, ver[i2])
}

inline take_back(p_, n_) {
    i2 = D(p_, n_);
    phase[i2] = HELD; asked[i2] = 0; dirty[i2] = o_updates
}

/* The inventory's verdict: sectors in a (one bit each), entities in x[0] and x[1]. */
inline obey_verdict(p_) {
    ready[p_] = 1;
    seen[p_] = b;
    for (s : 0 .. NS - 1) {
        if
        :: ss[T(p_, s)] != 0 && (a & (1 << s)) -> ss[T(p_, s)] = RUNNING; sat[T(p_, s)] = 0
        :: ss[T(p_, s)] != 0 && !(a & (1 << s)) && !IS(M_VERDICT_NOT_FIRST) -> drop_sector(p_, s); MET(W_VERDICT_DROPS_SECTOR)
        :: else
        fi
    }
    for (e : 0 .. NE - 1) {
        i2 = D(p_, e);
        if
        :: phase[i2] == 0 -> skip
        :: else ->
            MET_IF(W_VERDICT_RESEND_DESTROY, x[e] == V_RESEND && phase[i2] == DESTROYING);
            MET_IF(x[e], x[e] != 0 && !(x[e] == V_RESEND && phase[i2] == DESTROYING));
            if
            :: x[e] == V_BACK -> take_back(p_, e)
            :: x[e] == V_ACK -> acknowledged(p_, e, asked[i2])
            :: x[e] == V_DROP -> drop(i2)
            :: x[e] == V_RESEND && phase[i2] == SPAWNING ->
                send_up(p_, SPAWN, e, eserial[i2], asked[i2], 0, 0)
            :: x[e] == V_RESEND && phase[i2] == DESTROYING ->
                send_up(p_, DESTROY, e, ver[i2], 0, 0, 0)
            :: else
            fi
        fi
    }
    all_dirty(p_)
}

inline obey(p_) {
    if
    :: kind == VERDICT -> obey_verdict(p_)
    :: kind == FENCED -> MET(W_FENCED_IS_TOLD); end_shard(p_); b_restart = 1
    :: kind == ENTER ->
        if
        :: ss[T(p_, a)] != 0 && sep[T(p_, a)] == b && !(IS(M_ARRIVAL_IGNORED) && !LEASED(p_)) ->
            MET_IF(W_ARRIVAL_WHILE_FROZEN, ss[T(p_, a)] == FROZEN);
            MET_IF(W_ARRIVAL_WITHOUT_LEASE, !LEASED(p_));
            for (n : 0 .. NE - 1) { install(p_, n, x[n], a) }
        :: else
        fi
    :: kind == EXIT ->
        for (n : 0 .. NE - 1) {
            i2 = D(p_, n);
            durable_exit(n);
            if
            :: x[n] != 0 && (phase[i2] == PENDING || phase[i2] == SPAWNING) &&
                    ver[i2] == VER(x[n]) -> drop(i2)
            :: else
            fi
        }
    :: kind == ACK ->
        for (n : 0 .. NE - 1) {
            i2 = D(p_, n);
            if
            :: x[n] != 0 && (phase[i2] == PENDING || phase[i2] == SPAWNING) &&
                    ver[i2] == VER(x[n]) ->
                acknowledged(p_, n, a); MET_IF(W_ACK_WHILE_FROZEN, ss[T(p_, a)] == FROZEN)
            :: else
            fi
        }
    :: kind == REFUSE ->
        for (n : 0 .. NE - 1) {
            i2 = D(p_, n);
            if
            :: x[n] != 0 && phase[i2] == PENDING && ver[i2] == VER(x[n]) -> take_back(p_, n)
            :: else
            fi
        }
    :: kind == ASSIGN ->
        durable_epoch(a, b);
        ss[T(p_, a)] = RUNNING; sep[T(p_, a)] = b; sat[T(p_, a)] = 0;
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 && TICK(x[n]) == SAME ->
                MET(W_FROM_COPY);
                assert(VER(early[D(p_, n)]) == VER(x[n]) || I8_nothing_dropped);
                x[n] = early[D(p_, n)]
            :: else -> MET_IF(W_COPY_LEFT_OUT, x[n] == 0 && esec[D(p_, n)] == a + 1)
            fi;
            install(p_, n, x[n], a);
            if
            :: IS(M_PRECOPY_RUNS) && x[n] == 0 && esec[D(p_, n)] == a + 1 -> install(p_, n, early[D(p_, n)], a)
            :: else
            fi;
            if
            :: esec[D(p_, n)] == a + 1 -> early[D(p_, n)] = 0; esec[D(p_, n)] = 0
            :: else
            fi
        }
        if
        :: o_ready -> send_up(p_, READY, a, b, 0, 0, 0)
        :: else
        fi
    :: kind == UNASSIGN ->
        if
        :: ss[T(p_, a)] != 0 && sep[T(p_, a)] == b ->
            ss[T(p_, a)] = FROZEN; sat[T(p_, a)] = c;
            x[0] = 0; x[1] = 0;
            for (n : 0 .. NE - 1) {
                i2 = D(p_, n);
                if
                :: sec[i2] == a && (phase[i2] == HELD || phase[i2] == DESTROYING ||
                        (phase[i2] == PENDING && !IS(M_PENDING_NOT_IN_REMOVED))) ->
                    x[n] = ROW(ver[i2], tick[i2]);
                    MET_IF(W_CHANGED_SINCE_COPY, mine[i2] != 0 && x[n] != mine[i2]);
                    if
                    :: (x[n] == mine[i2] || (IS(M_SAME_BY_VERSION) && VER(x[n]) == VER(mine[i2]))) &&
                            (cat[T(p_, a)] == c || IS(M_COPY_OF_ANOTHER_ATTEMPT)) ->
                        x[n] = ROW(ver[i2], SAME)
                    :: else
                    fi;
                    MET_IF(W_PENDING_IN_REMOVED, phase[i2] == PENDING);
                    if
                    :: IS(M_CLEANUP_BEFORE_RELEASE) -> drop(i2)
                    :: else
                    fi
                :: else
                fi
            }
            send_up(p_, REMOVED, a, b, c, x[0], x[1])
        :: else
        fi
    :: kind == RESUME ->
        if
        :: ss[T(p_, a)] == FROZEN && sep[T(p_, a)] == b &&
                (sat[T(p_, a)] == c || IS(M_NO_ATTEMPT_NUMBER)) ->
            ss[T(p_, a)] = RUNNING; sat[T(p_, a)] = 0
        :: else
        fi
    :: kind == RELEASE ->
        if
        :: ss[T(p_, a)] != 0 && sep[T(p_, a)] == b ->
            drop_sector(p_, a);
            for (n : 0 .. NE - 1) {
                i2 = D(p_, n);
                mine[i2] = 0;
                if
                :: sec[i2] == a && (phase[i2] == HELD || phase[i2] == DESTROYING ||
                        (phase[i2] == PENDING && IS(M_RELEASE_DROPS_SHADOWS))) -> drop(i2)
                :: else -> MET_IF(W_SHADOW_OUTLIVES_RELEASE, sec[i2] == a && phase[i2] == PENDING)
                fi
            }
        :: else
        fi
    :: kind == DESTROYED ->
        i2 = D(p_, a);
        if
        :: phase[i2] != 0 && ver[i2] <= b ->
            MET_IF(W_DESTROYED_PENDING, phase[i2] == PENDING); drop(i2)
        :: else
        fi
    :: kind == PRECOPY ->
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 || esec[D(p_, n)] == a + 1 ->
                early[D(p_, n)] = x[n]; esec[D(p_, n)] = (x[n] != 0 -> a + 1 : 0)
            :: else
            fi
        }
    :: kind == COPY ->
        if
        :: ss[T(p_, a)] != 0 && sep[T(p_, a)] == b ->
            x[0] = 0; x[1] = 0; cat[T(p_, a)] = c;
            for (n : 0 .. NE - 1) {
                i2 = D(p_, n);
                if
                :: sec[i2] == a && (phase[i2] == HELD || phase[i2] == PENDING) ->
                    x[n] = ROW(ver[i2], tick[i2]); mine[i2] = x[n]
                :: else
                fi
            }
            send_up(p_, COPIED, a, b, c, x[0], x[1])
        :: else
        fi
    fi
}

#define MAY_ASK(p) (alive[p] && ready[p] && LEASED(p))
#define FREE(p, e) (phase[D(p, e)] == HELD && RUNS(p, sec[D(p, e)]))
#if NE == 1
#define OTHER_FREE(p, e) 1
#else
#define OTHER_FREE(p, e) (!o_group || FREE(p, 1 - e))
#endif

inline cross(p_, e_) {
    s = sec[D(p_, e_)];
    x[0] = 0; x[1] = 0;
    for (n : 0 .. NE - 1) {
        if
        :: n == e_ || o_group ->
            i2 = D(p_, n);
            x[n] = ROW(ver[i2], tick[i2]);
            phase[i2] = PENDING; asked[i2] = 1 - s; dirty[i2] = 0
        :: else
        fi
    }
    send_up(p_, REQUEST, s, sep[T(p_, s)], 1 - s, x[0], x[1]);
    if
    :: IS(M_REQUEST_REPEATED) -> send_up(p_, REQUEST, s, sep[T(p_, s)], 1 - s, x[0], x[1])
    :: else
    fi
}

#define FOR_HELD(e_) \
:: d_step { b_move > 0 && MAY_ASK(p) && FREE(p, e_) && (!o_group || (e_) == 0) && \
        OTHER_FREE(p, e_) -> b_move--; \
    printf("shard %d: entity %d crosses\n", p, e_); cross(p, e_); skip } \
:: d_step { b_step > 0 && SIMULATES(p, e_) && tick[D(p, e_)] < SAME - 1 -> b_step--; \
    printf("shard %d simulates entity %d\n", p, e_); simulated(p, e_); tick[D(p, e_)]++; g_tick[e_] = tick[D(p, e_)]; \
    dirty[D(p, e_)] = o_updates; skip } \
:: d_step { b_step > 0 && alive[p] && LEASED(p) && phase[D(p, e_)] == PENDING && \
        tick[D(p, e_)] < SAME - 1 -> b_step--; tick[D(p, e_)]++; \
    printf("shard %d moves its shadow of entity %d\n", p, e_); skip } \
:: d_step { b_destroy > 0 && MAY_ASK(p) && FREE(p, e_) -> b_destroy--; \
    printf("shard %d destroys entity %d\n", p, e_); \
    phase[D(p, e_)] = DESTROYING; send_up(p, DESTROY, e_, ver[D(p, e_)], 0, 0, 0); skip } \
:: d_step { b_spawn > 0 && MAY_ASK(p) && phase[D(p, e_)] == 0 && unused(e_) -> b_spawn--; \
    printf("shard %d spawns entity %d\n", p, e_); \
    serial[p]++; phase[D(p, e_)] = SPAWNING; eserial[D(p, e_)] = serial[p]; \
    asked[D(p, e_)] = spawn_into; g_asked = g_asked | (1 << (e_)); \
    send_up(p, SPAWN, e_, serial[p], spawn_into, 0, 0); skip } \
:: d_step { MAY_ASK(p) && dirty[D(p, e_)] && SIMULATES(p, e_) && !(u_on[0] && u_on[1]) -> \
    printf("shard %d sends an update of entity %d\n", p, e_); \
    dirty[D(p, e_)] = 0; i2 = (u_on[0] -> 1 : 0); u_on[i2] = 1; u_l[i2] = sess[p]; \
    u_p[i2] = p; u_e[i2] = e_; u_ver[i2] = ver[D(p, e_)]; u_tick[i2] = tick[D(p, e_)]; \
    u_epoch[i2] = sep[T(p, sec[D(p, e_)])]; skip }

#define FOR_LINK(l_) \
:: d_step { alive[p] && sess[p] == NOBODY && UP(l_) && term[l_] >= seen[p] -> \
    printf("shard %d opens a session with leader %d\n", p, l_); sess[p] = l_; hello[I(l_, p)] = 1; skip }

proctype Shard(byte p) {
end:
    do
    :: d_step { alive[p] && sess[p] != NOBODY && len(down[LINK(p)]) > held_back[LINK(p)] ->
        down[LINK(p)]?kind, a, b, c, x[0], x[1];
        printf("shard %d takes m%d: %d %d %d v%d.%d v%d.%d\n", p, kind, a, b, c,
            VER(x[0]), TICK(x[0]), VER(x[1]), TICK(x[1])); obey(p); skip }
    FOR_LINK(0)
    FOR_LINK(1)
    :: d_step { sess[p] != NOBODY && alive[p] &&
            ((!same[LINK(p)] && !hello[LINK(p)]) || b_break > 0) ->
        if :: same[LINK(p)] || hello[LINK(p)] -> b_break-- :: else fi;
        printf("shard %d closes its session\n", p); hang_up(p); skip }
    FOR_HELD(0)
#if NE > 1
    FOR_HELD(1)
#endif
    :: d_step { IS(M_SOURCE_RESUMES_ITSELF) && ss[T(p, 0)] == FROZEN -> ss[T(p, 0)] = RUNNING; skip }
    :: d_step { b_expire > 0 && alive[p] && !expired[p] && !o_timers ->
        printf("shard %d: the lease ends\n", p); b_expire--; expired[p] = 1; skip }
    :: d_step { expired[p] && ready[p] && same[LINK(p)] && LEADS(sess[p]) &&
            rec[sess[p]].reg[p] == 1 ->
        printf("shard %d: the lease goes on\n", p); expired[p] = 0; skip }
    :: d_step { b_shard_crash > 0 && alive[p] ->
        printf("shard %d crashes\n", p); b_shard_crash--; end_shard(p); skip }
    :: d_step { o_timers && b_heartbeat > 0 && alive[p] && ready[p] && hb[p] == 0 ->
        printf("shard %d sends a heartbeat\n", p); b_heartbeat--; hb[p] = 1; hbl[p] = sess[p]; hbage[p] = 0; skip }
    :: d_step { hb[p] == 3 ->
        printf("shard %d takes the heartbeat's answer\n", p);
        lease[p] = (lease[p] > LEASE - hbage[p] -> lease[p] : LEASE - hbage[p]);
        hb[p] = 0; hbl[p] = 0; hbage[p] = 0; skip }
    od
}
