/* The leader: judges requests, opens sessions with verdicts, moves sectors, fences the dead. */

/* A decision enters the journal: at once, or with the next commit. */
inline journal(l_, k_, a_, b_, c_, r0_, r1_) {
    if
    :: o_split -> queue[l_]!k_, a_, b_, c_, r0_, r1_
    :: else ->
        replay(k_, a_, b_, c_, r0_, r1_);
        check_replay(l_)
    fi
}
#define DEPOSED(l) (!o_split && term[l] != store_term)
#define ROOM(l) (!o_split || len(queue[l]) < 2)

/* What was sent behind a commit that never came was never sent. */
inline cut(i_) {
    n = len(down[i_]);
    do
    :: n > 0 ->
        down[i_]?kind, a, b, c, x[0], x[1];
        if
        :: n > held_back[i_] -> down[i_]!kind, a, b, c, x[0], x[1]
        :: else
        fi;
        n--
    :: else -> break
    od;
    held_back[i_] = 0
}

/* It decides nothing more; `end_leader` follows. */
inline stop(l_) { term[l_] = STOPPING }

inline end_leader(l_) {
    term[l_] = 0;
    for (p2 : 0 .. NP - 1) {
        i2 = I(l_, p2);
        if
        :: held_back[i2] > 0 -> cut(i2)
        :: else
        fi;
        lopen[i2] = 0; same[i2] = 0; hello[i2] = 0; death[i2] = 0;
        do
        :: len(up[i2]) > 0 -> up[i2]?kind, a, b, c, x[0], x[1]
        :: else -> break
        od;
        if
        :: hbl[p2] == l_ && (hb[p2] == 1 || hb[p2] == 2) -> hb[p2] = 0; hbage[p2] = 0; hbl[p2] = 0
        :: else
        fi
    }
    do
    :: len(queue[l_]) > 0 -> queue[l_]?kind, a, b, c, x[0], x[1]
    :: else -> break
    od;
    for (n : 0 .. NS - 1) {
        move[l_ * NS + n] = 0; attempt[l_ * NS + n] = 0; target[l_ * NS + n] = 0;
        loading[l_ * NS + n] = 0; rec[l_].owner[n] = 0; rec[l_].epoch[n] = 0
    }
    for (n : 0 .. NE - 1) {
        newest[l_ * NE + n] = 0; awaits[l_ * NE + n] = 0;
        rec[l_].ver[n] = 0; rec[l_].sec[n] = 0; rec[l_].tick[n] = 0; rec[l_].gone[n] = 0;
        rec[l_].asker[n] = 0
    }
    for (n : 0 .. NP - 1) { rec[l_].reg[n] = 0; rec[l_].serial[n] = 0 }
}

inline load(l_) {
    for (n : 0 .. NS - 1) {
        rec[l_].owner[n] = durable.owner[n]; rec[l_].epoch[n] = durable.epoch[n]
    }
    for (n : 0 .. NE - 1) {
        rec[l_].ver[n] = durable.ver[n]; rec[l_].sec[n] = durable.sec[n];
        rec[l_].tick[n] = durable.tick[n]; rec[l_].gone[n] = durable.gone[n];
        rec[l_].asker[n] = durable.asker[n];
        newest[l_ * NE + n] = durable.tick[n]; awaits[l_ * NE + n] = NOBODY
    }
    for (n : 0 .. NP - 1) {
        rec[l_].reg[n] = durable.reg[n]; rec[l_].serial[n] = durable.serial[n];
        death[I(l_, n)] = (o_timers && !IS(M_LEADER_DOES_NOT_WAIT) -> LEASE + ALLOWANCE : 0)
    }
}

/* The session ends at the leader: what was in flight is forgotten, its migrations are aborted. */
inline forget(l_, p_) {
    i2 = I(l_, p_);
    if
    :: held_back[i2] > 0 -> cut(i2)
    :: else
    fi;
    lopen[i2] = 0; same[i2] = 0;
    do
    :: len(up[i2]) > 0 -> up[i2]?kind, a, b, c, x[0], x[1]
    :: else -> break
    od;
    for (n : 0 .. NE - 1) {
        if
        :: awaits[l_ * NE + n] == p_ -> awaits[l_ * NE + n] = NOBODY
        :: else
        fi
    }
    for (n : 0 .. NS - 1) {
        if
        :: move[l_ * NS + n] && OWNS(l_, p_, n) -> move[l_ * NS + n] = 0; target[l_ * NS + n] = 0
        :: move[l_ * NS + n] && target[l_ * NS + n] == p_ ->
            move[l_ * NS + n] = 0; target[l_ * NS + n] = 0; MET(W_SESSION_END_ABORTS);
            send(l_, rec[l_].owner[n], RESUME, n, rec[l_].epoch[n], attempt[l_ * NS + n], 0, 0)
        :: else
        fi
    }
}

/* Rows z[0], z[1]: what the record places in sector s_, with the newest states. */
inline rows_of(l_, s_) {
    z[0] = 0; z[1] = 0;
    for (n : 0 .. NE - 1) {
        if
        :: rec[l_].ver[n] > 0 && !rec[l_].gone[n] && rec[l_].sec[n] == s_ ->
            z[n] = ROW(rec[l_].ver[n], newest[l_ * NE + n])
        :: else
        fi
    }
}

/* Give sector s_ to p_: one record with the states that it starts from, then the messages. */
inline assign(l_, s_, p_) {
    rows_of(l_, s_);
    rec[l_].epoch[s_] = rec[l_].epoch[s_] + 1;
    rec[l_].owner[s_] = OWN(p_);
    MET_IF(W_LOADED_AGAIN, rec[l_].epoch[s_] > 2 && (z[0] != 0 || z[1] != 0));
    loading[l_ * NS + s_] = o_ready;
    for (n : 0 .. NE - 1) {
        if
        :: z[n] != 0 ->
            rec[l_].asker[n] = NOBODY; g_orphan[n] = 0;
            rec[l_].tick[n] = (IS(M_RECORD_WITHOUT_STATES) -> rec[l_].tick[n] : TICK(z[n]))
        :: else
        fi
    }
    journal(l_, J_ASSIGN, s_, rec[l_].epoch[s_], OWN(p_), z[0], z[1]);
    y[0] = 0; y[1] = 0;         /* those who asked and stay with p_: acknowledged, not sent */
    for (e : 0 .. NE - 1) {
        if
        :: z[e] != 0 && awaits[l_ * NE + e] == p_ ->
            y[e] = ROW(VER(z[e]) - 1, 0); z[e] = 0
        :: else
        fi
    }
    send(l_, p_, ASSIGN, s_, rec[l_].epoch[s_], 0, z[0], z[1]);
    if
    :: y[0] != 0 || y[1] != 0 -> send(l_, p_, ACK, s_, rec[l_].epoch[s_], 0, y[0], y[1])
    :: else
    fi;
    settle_others(l_, s_, p_)
}

/* Those who asked for a place in s_ and are not p_ hear that the entity left them. */
inline settle_others(l_, s_, p_) {
    for (q : 0 .. NP - 1) {
        x[0] = 0; x[1] = 0;
        for (n : 0 .. NE - 1) {
            if
            :: awaits[l_ * NE + n] == q && rec[l_].sec[n] == s_ ->
                awaits[l_ * NE + n] = NOBODY;
                x[n] = ROW(rec[l_].ver[n] - 1, 0)
            :: else
            fi
        }
        if
        :: q != p_ && (x[0] != 0 || x[1] != 0) -> send(l_, q, EXIT, 0, 0, 0, x[0], x[1])
        :: else
        fi
    }
}

/* An accepted handoff or spawn of rows x[0], x[1] (at the old version) into sector c, told. */
inline place(l_, p_) {
    q = rec[l_].owner[c];
    y[0] = 0; y[1] = 0;
    for (n : 0 .. NE - 1) {
        if
        :: x[n] != 0 -> y[n] = ROW(rec[l_].ver[n], TICK(x[n]))
        :: else
        fi
    }
    if
    :: q == NOBODY ->
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 -> awaits[l_ * NE + n] = p_
            :: else
            fi
        }
    :: q != NOBODY && q == OWN(p_) -> send(l_, p_, ACK, c, rec[l_].epoch[c], 0, x[0], x[1])
    :: else ->
        send(l_, q, ENTER, c, rec[l_].epoch[c], 0, y[0], y[1]);
        if
        :: IS(M_HANDOFF_OVERTAKES) && same[I(l_, q)] -> overtake(I(l_, q))
        :: else
        fi;
        send(l_, p_, EXIT, 0, 0, 0, x[0], x[1])
    fi
}

/* The last message goes first. */
inline overtake(i_) {
    n = len(down[i_]) - 1;
    do
    :: n > 0 -> down[i_]?z[0], z[1], e, s, v[0], v[1]; down[i_]!z[0], z[1], e, s, v[0], v[1]; n--
    :: else -> break
    od
}

inline judge_request(l_, p_) {
    if
    :: IS(M_GROUP_MEMBER_FORGOTTEN) && x[0] != 0 && x[1] != 0 -> x[1] = 0
    :: else
    fi;
    good = 1;
    for (n : 0 .. NE - 1) {
        if
        :: x[n] != 0 && !(rec[l_].ver[n] == VER(x[n]) && !rec[l_].gone[n] &&
                rec[l_].sec[n] == a && OWNS(l_, p_, a) && rec[l_].epoch[a] == b) -> good = 0
        :: else
        fi
    }
    if
    :: !good -> MET(W_OUTDATED_REQUEST); send(l_, p_, EXIT, 0, 0, 0, x[0], x[1])
    :: good && DEPOSED(l_) -> MET(W_DEPOSED_DECIDES); stop(l_)
    :: else ->
        from_fenced(p_);
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 ->
                rec[l_].ver[n] = rec[l_].ver[n] + 1; rec[l_].sec[n] = c;
                rec[l_].tick[n] = TICK(x[n]); newest[l_ * NE + n] = TICK(x[n]);
                rec[l_].asker[n] = (rec[l_].owner[c] == NOBODY -> p_ : NOBODY)
            :: else
            fi
        }
        y[0] = (x[0] -> ROW(rec[l_].ver[0], TICK(x[0])) : 0);
        y[1] = (x[1] -> ROW(rec[l_].ver[NE - 1], TICK(x[1])) : 0);
        journal(l_, J_HANDOFF, c, p_, 0, y[0], y[1]);
        place(l_, p_)
    fi
}

/* Spawn of entity a with serial b into sector c. */
inline judge_spawn(l_, p_) {
    if
    :: (b <= rec[l_].serial[p_] && !IS(M_SPAWN_REPEATED)) ||
            (rec[l_].ver[a] > 0 && !rec[l_].gone[a]) ->
        x[0] = 0; x[1] = 0; x[a] = ROW(0, 0);
        send(l_, p_, EXIT, 0, 0, 0, x[0], x[1])
    :: else ->
        if
        :: DEPOSED(l_) -> stop(l_)
        :: else ->
            from_fenced(p_);
            rec[l_].ver[a] = 1; rec[l_].sec[a] = c; rec[l_].tick[a] = 0; rec[l_].gone[a] = 0;
            newest[l_ * NE + a] = 0;
            rec[l_].asker[a] = (rec[l_].owner[c] == NOBODY -> p_ : NOBODY);
            rec[l_].serial[p_] = b;
            created(a);
            journal(l_, J_SPAWN, a, p_, c, b, 0);
            x[0] = 0; x[1] = 0; x[a] = ROW(0, 0);
            place(l_, p_)
        fi
    fi
}

/* Destroy entity e_: recorded; then told to whom it was sent and to who awaits an answer. */
inline destroy(l_, e_) {
    q = rec[l_].owner[rec[l_].sec[e_]];
    p2 = awaits[l_ * NE + e_];
    rec[l_].ver[e_] = rec[l_].ver[e_] + 1; rec[l_].gone[e_] = 1;
    rec[l_].asker[e_] = NOBODY; rec[l_].sec[e_] = 0; rec[l_].tick[e_] = 0;
    newest[l_ * NE + e_] = 0; awaits[l_ * NE + e_] = NOBODY;
    destroyed(e_);
    journal(l_, J_DESTROY, e_, 0, 0, 0, 0);
    if
    :: q != NOBODY && !IS(M_DESTROY_NOT_TOLD) ->
        send(l_, q, DESTROYED, e_, rec[l_].ver[e_], 0, 0, 0)
    :: else
    fi;
    if
    :: p2 != NOBODY && p2 != q -> send(l_, p2, DESTROYED, e_, rec[l_].ver[e_], 0, 0, 0)
    :: else
    fi
}

/* SectorRemoved: the one point at which a migration or an unload is decided. */
inline judge_removed(l_, p_) {
    if
    :: !(OWNS(l_, p_, a) && rec[l_].epoch[a] == b && move[l_ * NS + a] &&
            (attempt[l_ * NS + a] == c || IS(M_NO_ATTEMPT_NUMBER))) -> MET(W_STALE_REMOVED)
    :: else ->
        if
        :: DEPOSED(l_) -> stop(l_)
        :: else ->
            from_fenced(p_);
            for (n : 0 .. NE - 1) {
                if
                :: x[n] != 0 && rec[l_].sec[n] == a && !rec[l_].gone[n] &&
                        rec[l_].ver[n] == VER(x[n]) -> newest[l_ * NE + n] = TICK(x[n])
                :: else
                fi
            }
            s = a; i2 = target[l_ * NS + a];
            move[l_ * NS + a] = 0; target[l_ * NS + a] = 0;
            if
            :: i2 == NOBODY ->
                rows_of(l_, s);
                rec[l_].owner[s] = NOBODY;
                for (n : 0 .. NE - 1) {
                    if
                    :: z[n] != 0 ->
                        rec[l_].tick[n] = (IS(M_RECORD_WITHOUT_STATES) -> rec[l_].tick[n] : TICK(z[n]))
                    :: else
                    fi
                }
                journal(l_, J_UNLOAD, s, 0, 0, z[0], z[1])
            :: else -> assign(l_, s, i2)
            fi;
            send(l_, p_, RELEASE, s, b, c, 0, 0)
        fi
    fi
}

/* Death is a record; the sectors are free, their entities in custody with the newest states. */
inline fence(l_, p_) {
    rec[l_].reg[p_] = 2;
    forget(l_, p_);
    if
    :: hb[p_] == 1 || hb[p_] == 2 -> hb[p_] = 0; hbl[p_] = 0; hbage[p_] = 0
    :: else
    fi;
    for (s : 0 .. NS - 1) {
        if
        :: rec[l_].owner[s] == p_ ||
                (IS(M_BOOKS_BY_NAME) && rec[l_].owner[s] == NAMESAKE(p_)) ->
            rec[l_].owner[s] = NOBODY;
            for (n : 0 .. NE - 1) {
                if
                :: rec[l_].sec[n] == s && rec[l_].ver[n] > 0 && !rec[l_].gone[n] ->
                    rolled_back(n, newest[l_ * NE + n]);
                    if
                    :: IS(M_LOADING_CUSTODY_LOST) && loading[l_ * NS + s] ->
                        rec[l_].ver[n] = 0; durable.ver[n] = 0
                    :: else
                    fi
                :: else
                fi
            }
            loading[l_ * NS + s] = 0
        :: else
        fi
    }
    death[I(l_, p_)] = 0;
    journal(l_, J_FENCE, p_, 0, 0, 0, 0)
}

/* The verdict on entity e of shard p_'s inventory. */
inline verdict_on(l_, p_, v_) {
    i2 = D(p_, e);
    n = rec[l_].sec[e];
    if
    :: phase[i2] == 0 -> v_ = 0
    :: phase[i2] == SPAWNING && eserial[i2] > rec[l_].serial[p_] -> v_ = V_RESEND
    :: phase[i2] == SPAWNING && IS(M_SPAWN_REPEATED) -> v_ = V_RESEND
    :: else ->
        if
        :: rec[l_].gone[e] || rec[l_].ver[e] == 0 -> v_ = V_DROP
        :: phase[i2] == HELD || phase[i2] == DESTROYING ->
            if
            :: rec[l_].ver[e] == ver[i2] && n == sec[i2] && OWNS(l_, p_, n) &&
                    INVENTORY_HAS(l_, p_, n) ->
                v_ = (phase[i2] == HELD -> V_KEEP : V_RESEND)
            :: else -> v_ = V_DROP
            fi
        :: else ->              /* PENDING; SPAWNING is PENDING at version 0 */
            if
            :: rec[l_].ver[e] == ver[i2] && n == sec[i2] && OWNS(l_, p_, n) &&
                    INVENTORY_HAS(l_, p_, n) -> v_ = V_BACK
            :: rec[l_].ver[e] == ver[i2] + 1 && n == asked[i2] && OWNS(l_, p_, n) &&
                    (INVENTORY_HAS(l_, p_, n) || IS(M_ACK_BY_OWNER_ALONE)) -> v_ = V_ACK
            :: rec[l_].ver[e] == ver[i2] + 1 && rec[l_].owner[n] == NOBODY &&
                    (rec[l_].asker[e] == p_ || IS(M_WAIT_BY_VERSION_ALONE)) ->
                v_ = V_WAIT; awaits[l_ * NE + e] = p_
            :: else -> v_ = (IS(M_OUTDATED_REFUSED) && phase[i2] == PENDING -> V_BACK : V_DROP)
            fi
        fi
    fi
}

/* All that the record gives p_ and its inventory lacks. */
inline send_lacking(l_, p_) {
    for (s : 0 .. NS - 1) {
        if
        :: OWNS(l_, p_, s) ->
            rows_of(l_, s);
            for (n : 0 .. NE - 1) {
                if
                :: (INVENTORY_HAS(l_, p_, s) && phase[D(p_, n)] != 0 && v[n] != V_DROP) ||
                        v[n] == V_ACK -> z[n] = 0
                :: else
                fi
            }
            if
            :: !INVENTORY_HAS(l_, p_, s) ->
                MET(W_LACKING_SECTOR_SENT);
                send(l_, p_, ASSIGN, s, rec[l_].epoch[s], 0, z[0], z[1])
            :: INVENTORY_HAS(l_, p_, s) && (z[0] != 0 || z[1] != 0) ->
                MET(W_LACKING_ENTITY_SENT);
                send(l_, p_, ENTER, s, rec[l_].epoch[s], 0, z[0], z[1])
            :: else
            fi
        :: else
        fi
    }
}

inline open_session(l_, p_) {
    hello[I(l_, p_)] = 0;
    if
    :: seen[p_] > term[l_] || (rec[l_].reg[p_] == 0 && DEPOSED(l_)) -> stop(l_)
    :: seen[p_] <= term[l_] && rec[l_].reg[p_] == 2 ->
        forget(l_, p_);
        same[I(l_, p_)] = 1;
        down[I(l_, p_)]!FENCED, 0, 0, 0, 0, 0
    :: else ->
        forget(l_, p_);
        if
        :: rec[l_].reg[p_] == 0 ->
            rec[l_].reg[p_] = 1;
            death[I(l_, p_)] = (o_timers -> LEASE + ALLOWANCE : 0);
            journal(l_, J_REGISTER, p_, 0, 0, 0, 0);
            if
            :: IS(M_RESTART_IS_DEATH) && p_ == 2 && rec[l_].reg[0] == 1 -> fence(l_, 0)
            :: else
            fi
        :: else
        fi;
        lopen[I(l_, p_)] = 1; same[I(l_, p_)] = 1;
        runs = 0; v[0] = 0; v[1] = 0;
        for (s : 0 .. NS - 1) {
            if
            :: OWNS(l_, p_, s) && INVENTORY_HAS(l_, p_, s) -> runs = runs | (1 << s)
            :: else
            fi
        }
        e = 0; verdict_on(l_, p_, v[0]);
        if
        :: NE > 1 -> e = NE - 1; verdict_on(l_, p_, v[1])
        :: else
        fi;
        if
        :: IS(M_VERDICT_NOT_FIRST) -> send_lacking(l_, p_)
        :: else
        fi;
        send(l_, p_, VERDICT, runs, term[l_], 0, v[0], v[1]);
        if
        :: !IS(M_VERDICT_NOT_FIRST) -> send_lacking(l_, p_)
        :: else
        fi
    fi
}

inline begin_move(l_, s_, q_) {
    attempt[l_ * NS + s_] = attempt[l_ * NS + s_] + 1;
    move[l_ * NS + s_] = 1; target[l_ * NS + s_] = q_;
    p2 = rec[l_].owner[s_];
    if
    :: q_ != NOBODY -> rows_of(l_, s_); send(l_, q_, PRECOPY, s_, 0, 0, z[0], z[1])
    :: else
    fi;
    send(l_, p2, UNASSIGN, s_, rec[l_].epoch[s_], attempt[l_ * NS + s_], 0, 0)
}

#define HOLDER(l, s) (rec[l].owner[s])
#define MOVABLE(l, s) (UP(l) && HOLDER(l, s) != NOBODY && !move[l * NS + s] && !loading[l * NS + s] && \
    lopen[I(l, HOLDER(l, s) % NP)])
#define CUSTODY_IN(l, s, e) (rec[l].ver[e] > 0 && !rec[l].gone[e] && rec[l].sec[e] == s)
#if NE == 1
#define WANTED(l, s) CUSTODY_IN(l, s, 0)
#else
#define WANTED(l, s) (CUSTODY_IN(l, s, 0) || CUSTODY_IN(l, s, 1))
#endif
#define LIFELESS(l, p) (o_timers -> death[I(l, p)] == 0 : (!alive[p] || (expired[p] && b_fence > 0)))

#define FROM_SHARD(p) \
:: d_step { UP(l) && lopen[I(l, p)] && nempty(up[I(l, p)]) && ROOM(l) -> \
    up[I(l, p)]?kind, a, b, c, x[0], x[1]; \
    printf("leader %d takes m%d of shard %d: %d %d %d v%d.%d v%d.%d\n", l, kind, p, a, b, c, \
        VER(x[0]), TICK(x[0]), VER(x[1]), TICK(x[1])); receive(l, p); skip } \
:: d_step { b_refuse > 0 && UP(l) && lopen[I(l, p)] && up[I(l, p)]?[REQUEST, _, _, _, _, _] -> \
    up[I(l, p)]?kind, a, b, c, x[0], x[1]; b_refuse--; \
    printf("leader %d may refuse shard %d\n", l, p); refuse(l, p); skip } \
:: d_step { UP(l) && hello[I(l, p)] && ROOM(l) -> \
    printf("leader %d opens a session with shard %d\n", l, p); open_session(l, p); skip } \
:: d_step { UP(l) && lopen[I(l, p)] && (!same[I(l, p)] || b_break > 0) -> \
    if :: same[I(l, p)] -> b_break-- :: else fi; \
    printf("leader %d closes the session with shard %d\n", l, p); forget(l, p); skip } \
:: d_step { UP(l) && rec[l].reg[p] == 1 && ROOM(l) && LIFELESS(l, p) -> \
    printf("leader %d fences shard %d\n", l, p); \
    if :: DEPOSED(l) -> stop(l) \
    :: else -> if :: alive[p] && !o_timers -> b_fence-- :: else fi; fence(l, p) fi; skip } \
:: d_step { hb[p] == 1 && hbl[p] == l && UP(l) && lopen[I(l, p)] && same[I(l, p)] -> hb[p] = 2; skip } \
:: d_step { hb[p] == 2 && hbl[p] == l && UP(l) && lopen[I(l, p)] && rec[l].reg[p] == 1 -> \
    if :: term[l] != store_term && !IS(M_DEPOSED_ANSWERS) -> stop(l) \
    :: else -> printf("leader %d answers the heartbeat of shard %d\n", l, p); hb[p] = 3; death[I(l, p)] = DEATH_AFTER fi; skip }
#define DEATH_AFTER ((IS(M_DEATH_EARLY) -> LEASE - 1 : \
    (IS(M_DRIFT_ONE_SIDED) -> LEASE + ALLOWANCE - 1 : LEASE + ALLOWANCE)))

#define FOR_SECTOR_AND_SHARD(s, p) \
:: d_step { UP(l) && HOLDER(l, s) == NOBODY && WANTED(l, s) && lopen[I(l, p)] && \
        rec[l].reg[p] == 1 && ROOM(l) -> \
    printf("leader %d loads sector %d at shard %d\n", l, s, p); \
    if :: DEPOSED(l) -> stop(l) :: else -> assign(l, s, p) fi; skip } \
:: d_step { b_migrate > 0 && MOVABLE(l, s) && HOLDER(l, s) != p && lopen[I(l, p)] -> \
    printf("leader %d migrates sector %d to shard %d\n", l, s, p); b_migrate--; begin_move(l, s, p); skip }

#define FOR_SECTOR(s) \
:: d_step { b_unload > 0 && MOVABLE(l, s) -> \
    printf("leader %d unloads sector %d\n", l, s); b_unload--; begin_move(l, s, NOBODY); skip } \
:: d_step { b_abort > 0 && UP(l) && move[l * NS + s] -> b_abort--; \
    printf("leader %d aborts the move of sector %d\n", l, s); \
    move[l * NS + s] = 0; target[l * NS + s] = 0; q = HOLDER(l, s); \
    send(l, q, RESUME, s, rec[l].epoch[s], attempt[l * NS + s], 0, 0); skip }

#define FOR_ENTITY(e_) \
:: d_step { b_op_destroy > 0 && UP(l) && ROOM(l) && rec[l].ver[e_] > 0 && !rec[l].gone[e_] -> \
    printf("leader %d: an operator destroys entity %d\n", l, e_); \
    b_op_destroy--; if :: DEPOSED(l) -> stop(l) :: else -> destroy(l, e_) fi; skip }

#define FOR_UPDATE(k) \
:: d_step { u_on[k] && u_l[k] == l && UP(l) && lopen[I(l, u_p[k])] -> \
    printf("leader %d takes an update: entity %d v%d.%d\n", l, u_e[k], u_ver[k], u_tick[k]); \
    count_update(l, k); skip }

inline receive(l_, p_) {
    if
    :: kind == REQUEST -> judge_request(l_, p_)
    :: kind == REMOVED -> judge_removed(l_, p_)
    :: kind == SPAWN -> judge_spawn(l_, p_)
    :: kind == READY ->
        if
        :: OWNS(l_, p_, a) && rec[l_].epoch[a] == b -> loading[l_ * NS + a] = 0
        :: else
        fi
    :: kind == DESTROY ->
        if
        :: rec[l_].ver[a] == b && !rec[l_].gone[a] && OWNS(l_, p_, rec[l_].sec[a]) ->
            if
            :: DEPOSED(l_) -> stop(l_)
            :: else -> e = a; from_fenced(p_); destroy(l_, e)
            fi
        :: else -> send(l_, p_, DESTROYED, a, b, 0, 0, 0)
        fi
    fi
}

/* Only what is still as it was asked is refused; anything else is answered with its outcome. */
inline refuse(l_, p_) {
    good = 1;
    for (n : 0 .. NE - 1) {
        if
        :: x[n] != 0 && (rec[l_].ver[n] != VER(x[n]) || rec[l_].gone[n]) -> good = 0
        :: else
        fi
    }
    if
    :: good -> send(l_, p_, REFUSE, 0, 0, 0, x[0], x[1])
    :: else -> judge_request(l_, p_)
    fi
}

inline count_update(l_, k_) {
    e = u_e[k_];
    if
    :: rec[l_].ver[e] == u_ver[k_] && !rec[l_].gone[e] && OWNS(l_, u_p[k_], rec[l_].sec[e]) &&
            rec[l_].epoch[rec[l_].sec[e]] == u_epoch[k_] &&
            (u_tick[k_] > newest[l_ * NE + e] || IS(M_UPDATES_UNORDERED)) ->
        assert(u_tick[k_] > newest[l_ * NE + e] || I3_updates_rise);
        newest[l_ * NE + e] = u_tick[k_]
    :: else ->
        MET_IF(W_UPDATE_FENCED, rec[l_].ver[e] != u_ver[k_]);
        MET_IF(W_UPDATE_OLDER, rec[l_].ver[e] == u_ver[k_])
    fi;
    clear_update(k_)
}

inline clear_update(k_) {
    u_on[k_] = 0; u_l[k_] = 0; u_p[k_] = 0; u_e[k_] = 0;
    u_ver[k_] = 0; u_epoch[k_] = 0; u_tick[k_] = 0
}

inline commit(l_) {
    if
    :: term[l_] != store_term -> MET(W_COMMIT_FAILS); stop(l_)
    :: else ->
        do
        :: len(queue[l_]) > 0 ->
            queue[l_]?kind, a, b, c, x[0], x[1];
            replay(kind, a, b, c, x[0], x[1])
        :: else -> break
        od;
        for (p2 : 0 .. NP - 1) { held_back[I(l_, p2)] = 0 }
        check_replay(l_)
    fi
}

/* One end of one shard's sessions, in leader l. */
proctype Port(byte l; byte p) {
end:
    do
    FROM_SHARD(p)
    FOR_SECTOR_AND_SHARD(0, p)
    FOR_SECTOR_AND_SHARD(1, p)
    od
}

proctype Leader(byte l) {
end:
    do
    FOR_SECTOR(0)
    FOR_SECTOR(1)
    FOR_ENTITY(0)
#if NE > 1
    FOR_ENTITY(1)
#endif
    FOR_UPDATE(0)
    FOR_UPDATE(1)
    :: d_step { UP(l) && len(queue[l]) > 0 -> printf("leader %d commits\n", l); commit(l); skip }
    :: d_step { term[l] == STOPPING || (UP(l) && term[l] != store_term) ->
        printf("leader %d stops\n", l); end_leader(l); skip }
    :: d_step { b_leader_crash > 0 && b_takeover > 0 && UP(l) ->
        printf("leader %d crashes\n", l); b_leader_crash--; stop(l); skip }
    :: d_step { b_takeover > 0 && term[l] == 0 && (o_two_leaders || !UP(1 - l)) ->
        printf("leader %d takes over\n", l); b_takeover--; store_term++; term[l] = store_term; load(l); taken_over(l); skip }
    od
}
