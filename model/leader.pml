/* The leader's process: sessions that open with a verdict, and all that it may do. */

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
    target[l_ * NS + s_] = q_;
    p2 = rec[l_].owner[s_];
    if
    :: q_ != NOBODY ->
        move[l_ * NS + s_] = 2;
        send(l_, p2, COPY, s_, rec[l_].epoch[s_], attempt[l_ * NS + s_], 0, 0)
    :: else ->
        move[l_ * NS + s_] = 1;
        send(l_, p2, UNASSIGN, s_, rec[l_].epoch[s_], attempt[l_ * NS + s_], 0, 0)
    fi
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
    :: else -> printf("leader %d answers the heartbeat of shard %d\n", l, p); hb[p] = 3; death[I(l, p)] = DEATH_AFTER fi; skip } \
:: d_step { hb[p] == 2 && hbl[p] == l && UP(l) && lopen[I(l, p)] && rec[l].reg[p] == 1 -> \
    printf("leader %d answers shard %d, which seems not to hear, and extends nothing\n", l, p); \
    if :: IS(M_DEAF_EXTENDED) -> hb[p] = 3 :: else -> hb[p] = 0; hbl[p] = 0; hbage[p] = 0 fi; skip }
#define DEATH_AFTER ((IS(M_DEATH_EARLY) -> LEASE - 1 : \
    (IS(M_DRIFT_ONE_SIDED) -> LEASE + ALLOWANCE - 1 : LEASE + ALLOWANCE)))

#define FOR_SECTOR_AND_SHARD(s, p) \
:: d_step { UP(l) && HOLDER(l, s) == NOBODY && WANTED(l, s) && lopen[I(l, p)] && \
        rec[l].reg[p] == 1 && ROOM(l) -> \
    printf("leader %d loads sector %d at shard %d\n", l, s, p); \
    if :: DEPOSED(l) -> stop(l) :: else -> w[0] = 0; w[1] = 0; assign(l, s, p) fi; skip } \
:: d_step { b_migrate > 0 && MOVABLE(l, s) && HOLDER(l, s) != p && lopen[I(l, p)] -> \
    printf("leader %d migrates sector %d to shard %d\n", l, s, p); b_migrate--; begin_move(l, s, p); skip }

#define FOR_SECTOR(s) \
:: d_step { b_unload > 0 && MOVABLE(l, s) -> \
    printf("leader %d unloads sector %d\n", l, s); b_unload--; begin_move(l, s, NOBODY); skip } \
:: d_step { b_abort > 0 && UP(l) && move[l * NS + s] -> b_abort--; \
    printf("leader %d aborts the move of sector %d\n", l, s); \
    give_up(l, s); skip }

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
    :: kind == COPIED -> judge_copied(l_, p_)
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
            :: else -> e = a; from_fenced(l_, p_); destroy(l_, e)
            fi
        :: else -> send(l_, p_, DESTROYED, a, b, 0, 0, 0)
        fi
    fi
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
