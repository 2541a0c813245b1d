/* The life cycle of a connection, docs/format/connect.md, for SPIN: two sides, and a host that keeps every message ever said and
 * delivers any of them, to whom it is for, at any time, never, or again. What is said of it stands in lifecycle.md.
 *
 *   spin -DP=2 -run docs/security/lifecycle.pml
 *
 * P proposals at most. Each alternative is one event, so states stored are the states of the two sides and the host. */
#ifndef P
#define P 2
#endif
#define N (P + 1)   /* agreements: the first, and the proposed ones */
#define NONE N
#define I 0         /* Initiator, who accepts */
#define R 1         /* Responder, who invites */
#define WAITS 0     /* Invited or Accepting */
#define CONFIRMING 1
#define HELD 2      /* Active, Renewing, Suspended */
#define ENDED 3

byte stage[2], at[2], prior[2], pend[2];
bool own[2], peer[2], unknown[2];
byte parent[N], by[N], count = 1;
bool agreed[N];                  /* both have signed, and it was said */
bool term[2 * N];                /* said by a side: ends this agreement */
bool confirmed, refused;
byte half = NONE;                /* the Responder finished a handshake under it, the Initiator did not yet */

#define susp(s) (own[s] || peer[s] || unknown[s])
#define held(s) (stage[s] == HELD)
#define theirs(s) (pend[s] != NONE && by[pend[s]] != s)
#define ours(s) (pend[s] != NONE && by[pend[s]] == s)
#define knows(s, n) (held(s) && (at[s] == n || prior[s] == n))

inline end(s) {
    stage[s] = ENDED; at[s] = 0; prior[s] = NONE; pend[s] = NONE; own[s] = 0; peer[s] = 0; unknown[s] = 0
}

inline begin(s) { stage[s] = HELD }

inline opened(s, n) {
    if
    :: held(s) && at[s] == n -> prior[s] = NONE; unknown[s] = 0
    :: held(s) && at[s] != n && prior[s] == n -> unknown[s] = 0
    :: else
    fi
}

/* Whatever both have signed is the only one of its serial; a side stands only on what both have signed; both stand on one agreement, or
 * one of them on the next and still answers for the one before; who accepted is active only after the other confirmed. */
inline check() {
    i = 0;
    do
    :: i < count ->
        j = i + 1;
        do
        :: j < count ->
            assert(!(agreed[i] && agreed[j] && parent[i] == parent[j]));
            j++
        :: else -> break
        od;
        i++
    :: else -> break
    od;
    assert(!held(I) || agreed[at[I]]);
    assert(!held(R) || agreed[at[R]]);
    assert(!held(I) || confirmed);
    assert(pend[I] == NONE || parent[pend[I]] == at[I]);
    assert(pend[R] == NONE || parent[pend[R]] == at[R]);
    assert(!(held(I) && held(R)) || at[I] == at[R]
        || (at[R] != 0 && parent[at[R]] == at[I] && prior[R] == at[I])
        || (at[I] != 0 && parent[at[I]] == at[R] && prior[I] == at[R]));
    i = 0; j = 0
}

active proctype world() {
    byte i, j;
    d_step { prior[I] = NONE; prior[R] = NONE; pend[I] = NONE; pend[R] = NONE; parent[0] = NONE; by[0] = NONE; agreed[0] = 1 }
endless:
    do
    /* first contact */
    :: d_step { stage[R] == WAITS -> begin(R); confirmed = 1; check() }
    :: d_step { stage[R] == WAITS -> stage[R] = CONFIRMING; check() }
    :: d_step { stage[R] == CONFIRMING -> begin(R); confirmed = 1; check() }
    :: d_step { (stage[R] == WAITS || stage[R] == CONFIRMING) -> end(R); refused = 1; check() }
    :: d_step { stage[I] == WAITS && confirmed -> begin(I); check() }
    :: d_step { stage[I] == WAITS && refused -> end(I); check() }
    /* a handshake under what both know; the last message may come late or never */
    :: d_step { knows(I, at[R]) && held(R) -> half = at[R]; opened(R, half); check() }
    :: d_step { held(R) && prior[R] != NONE && knows(I, prior[R]) -> half = prior[R]; opened(R, half); check() }
    :: d_step { half != NONE -> opened(I, half); half = NONE; check() }
#define SIDE(s, o) \
    :: d_step { stage[s] != ENDED -> end(s); check() } /* time */ \
    :: d_step { held(s) && count < N && !susp(s) && (s == I || !theirs(s)) -> \
        parent[count] = at[s]; by[count] = s; pend[s] = count; count++; check() } /* propose */ \
    :: d_step { held(s) && theirs(s) && !susp(s) -> \
        prior[s] = at[s]; at[s] = pend[s]; pend[s] = NONE; agreed[at[s]] = 1; check() } /* agree */ \
    :: d_step { held(s) && theirs(s) -> pend[s] = NONE; check() } /* decline */ \
    :: d_step { held(s) && !own[s] -> own[s] = 1; check() } /* suspend */ \
    :: d_step { held(s) && own[s] -> own[s] = 0; check() } /* resume */ \
    :: d_step { held(s) -> term[s * N + at[s]] = 1; end(s); check() } /* terminate */ \
    :: d_step { held(s) && !unknown[s] -> unknown[s] = 1; check() } /* EDHOC error 3, which anyone can forge */ \
    :: d_step { held(s) && !peer[s] -> peer[s] = 1; check() } /* Suspend, as if it had been said */ \
    :: d_step { held(s) && peer[s] -> peer[s] = 0; check() } /* Resume */
    SIDE(I, R)
    SIDE(R, I)
#define HEAR(s, o, n) \
    :: d_step { held(s) && n < count && by[n] == o && parent[n] == at[s] && !susp(s) && !(s == I && ours(s)) -> \
        pend[s] = n; check() } /* Propose */ \
    :: d_step { held(s) && n < count && by[n] == s && agreed[n] && parent[n] == at[s] -> \
        at[s] = n; prior[s] = NONE; pend[s] = NONE; check() } /* Agree */ \
    :: d_step { held(s) && term[o * N + n] && (at[s] == n || prior[s] == n || pend[s] == n) -> end(s); check() } /* Terminate */
#define BOTH(n) HEAR(I, R, n) HEAR(R, I, n)
    BOTH(0)
    BOTH(1)
#if P > 1
    BOTH(2)
#endif
#if P > 2
    BOTH(3)
#endif
    od
}
