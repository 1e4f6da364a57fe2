/*
 * Opening against recycling: one writer that rolls from segment to segment and takes dead ones again, openers that come
 * at any time with old pointers in their hands.
 *
 * What is modelled
 *      E1  publish   the word of an item, and the ROLL that publishes the next segment with its first item
 *      E4  birth     pins and chain are stored (release) when all fields are set and the memory is cleared;
 *                    take-unless-zero (acquire)
 *      E5  death     counts are dropped by read-modify-write; who drops chain to 0 cuts the link, drops the common pin and
 *                    goes on with the next segment; who drops pins to 0 frees
 *      E6  recycle   the free list, on which the writer finds what is dead
 *      E7  ends      current and oldest: load, count, look again, equal or drop and retry
 *      E8  link      next, seen behind the ROLL, cut by exchange
 *      E9  filled    where an opener begins to walk
 *
 * It stands for ae_buffer_grab(), ae_buffer_find_end(), cross(), ae_chain_take(), ae_chain_drop(), ae_segment_birth(),
 * ae_segment_take(), aether_buffer_destroy(), and for append_here(), append_in_next(), roll() and advance_oldest() in
 * append.c. With -DLAP the second opener counts in pins, as cursors that may be lapped will. With KEEP above 0 the oldest
 * stays so many segments behind, as with a retention. -DDESTROY: the buffer is destroyed beside openers, as they may come
 * over a splice.
 *
 * The machine has the stale reads of the C memory model, and is weaker than store buffers that drain out of order: two
 * openers may see the writer's stores in different orders. (With store buffers a read-modify-write that is a release empties
 * the writer's, and the relaxed birth looks harmless.) Only the writer stores plainly, so what a thread knows by
 * synchronisation is always a beginning of the list of the writer's stores: one number, `know`, and a clock that counts
 * those stores. A load returns the newest value that the thread knows, or any later one. Reading a release store with
 * acquire raises `know` to the store's clock, or to what the read-modify-writes behind it have gathered; a relaxed store
 * carries nothing (nor what its thread released there before: C++20, not C11). Read-modify-writes act on the last value.
 * A load that may return any old value shares a step with what follows it.
 *
 * What is claimed
 *      not_alive            nobody stands in a segment that is free, taken, or in another life than it counted itself into
 *      not_cleared          who stands in a segment knows the stores that cleared it and set its fields; else it might read
 *                           those of the last life
 *      wrong_place          opening at next takes the place of an item that the opener does not know to be published, and
 *                           none after the first that is not; it knows of the item before the place, which another cursor
 *                           of the same thread might else not find yet. Opening at oldest takes a segment that has been
 *                           the oldest, and none older than the opener knows of
 *      half_item, no_link   the first item of a segment, and the link, are there for who comes over the ROLL
 *      no_such_count        no count is dropped that is not there; none is added to 0 by who thinks to hold one
 *      freed_twice, freed_under_holder, leaked    as they say; at the end all segments are free
 *
 * What is left out: payload bytes and the gates (sleep.pml); giving memory back to the allocator, and liburcu, whose part
 * is that a count stays readable memory; failing allocation (the writer waits for a free segment); sizes of segments;
 * splices and other owners; cutting and marking of lapped segments; E11, the control block; loads of openers in another
 * order than the program's (they are acquire); FINAL, which is a place without an item.
 *
 * Sizes: SEGMENTS, GENERATIONS (lives of segments: rolls + 1), ITEMS_EACH per segment, OPENERS, ROUNDS (opens by each),
 * KEEP, OLDEST (which openers open at oldest). -DANY_SPARE: the writer takes any free segment instead of the first.
 * -DTOLD: the openers know all that is published when they begin.
 *
 * Wrong variants, one -D each; tests/models/run says which claim each must break:
 *      RELAXED_BIRTH           the birth's stores of the counts are relaxed
 *      RELAXED_TAKE            take-unless-zero is relaxed
 *      NO_RECHECK              current/oldest is not looked at again
 *      RELAXED_RECHECK         the look again is relaxed
 *      RELAXED_FILLED          the store or the load of filled is relaxed
 *      ADD_NOT_UNLESS_ZERO     the opener adds, whether or not the count is 0
 *      BLIND_COUNT             after the birth, the link's count is stored and not added
 *      UNPIN_BEFORE_CUT        the common pin is dropped before the link is cut
 *      COUNT_LAST              oldest moves on and lets go before it counts in the next segment (shows with KEEP 2)
 *      FILLED_FIRST            filled is stored before the item is published
 *      RELAXED_ROLL            the ROLL's store is relaxed
 *      RELAXED_DROP            the drop is relaxed: the last read in the segment may come after it
 */

#ifndef SEGMENTS
#define SEGMENTS 3
#endif
#ifndef GENERATIONS
#define GENERATIONS 4
#endif
#ifndef ITEMS_EACH
#define ITEMS_EACH 2
#endif
#ifndef OPENERS
#define OPENERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KEEP
#define KEEP 0
#endif

#define ITEMS (GENERATIONS * ITEMS_EACH)
#define WRITER OPENERS /* threads: the openers, then the writer */
#define THREADS (OPENERS + 1)
#ifdef LAP
#define LAPS(me) ((me) == 1)
#else
#define LAPS(me) false
#endif

/* Which openers open at oldest, a bit for each; the others open at next. */
#ifndef OLDEST
#define OLDEST 2
#endif
#define FROM_OLDEST(me) ((OLDEST >> (me)) & 1)

#define GONE_AT(me) (FROM_OLDEST(me) -> oldest_gone_at : current_gone_at)

#define GONE 253
#define NONE 254
#define SEVERED 255

#define FREE 0
#define TAKEN 1
#define ALIVE 2

/* Segments. chain_carries and pins_carry: the clock that the count's last change hands to who acquires it. */
byte chain[SEGMENTS], pins[SEGMENTS];
byte chain_carries[SEGMENTS], pins_carry[SEGMENTS];
byte next[SEGMENTS];
byte status[SEGMENTS];
byte life[SEGMENTS];  /* which generation the memory holds, */
byte ready[SEGMENTS]; /* and the clock of the last store that made it so */

/* The writer's stores by their clocks. `current` and `oldest` take the generations one after another. */
byte clock;
byte home[GENERATIONS]; /* the segment of a generation */
byte current_at[GENERATIONS], oldest_at[GENERATIONS], rolled_at[GENERATIONS];
byte current_gone_at, oldest_gone_at; /* the last stores: no segment any more */
byte word_at[ITEMS], filled_at[ITEMS];
byte filled[GENERATIONS];
byte newest, oldest, items; /* what the last of these stores says */

byte know[THREADS];
byte standing[OPENERS]; /* segment + 1 */
byte lives_in[OPENERS]; /* the generation that it believes to be in */
byte opening = OPENERS, reading = OPENERS; /* so many have opens, or anything, before them */

/* The claims. */
bool not_alive, not_cleared, wrong_place, half_item, no_link, no_such_count, freed_twice, freed_under_holder, leaked;

#define CLAIM(broken, holds) broken = !(holds); assert(!broken)

/* ------------------------------------------------------------------------------------------------- the machine */

#define KNOWS(me, when) ((when) != 0 && (when) <= know[me])
#define LEARN(me, what) know[me] = (know[me] < (what) -> (what) : know[me])

/* A store by the writer, release unless said otherwise: the clock is what it carries. */
#define STORE(what) clock++; know[WRITER] = clock; what = clock

/* The generation that a load of current or oldest returns: one that is known, or a later one. GONE: the buffer is. */
inline load_end(me, generation)
{
    if
    :: GONE_AT(me) != 0 ->
        generation = GONE;
        LEARN(me, GONE_AT(me))
    :: FROM_OLDEST(me) && !KNOWS(me, GONE_AT(me)) ->
        generation = oldest;
        do
        :: oldest_at[generation] > know[me] -> generation--
        :: break
        od;
        LEARN(me, oldest_at[generation])
    :: !FROM_OLDEST(me) && !KNOWS(me, GONE_AT(me)) ->
        generation = newest;
        do
        :: current_at[generation] > know[me] -> generation--
        :: break
        od;
        LEARN(me, current_at[generation])
    fi
}

/* --------------------------------------------------------------------------------------------------- the counts */

inline drop_one(me, count, carries, last)
{
    CLAIM(no_such_count, count > 0);
    count--;
    LEARN(me, carries);
    carries = know[me];
    last = count == 0
}

inline unpin(me, segment, last)
{
    atomic {
        drop_one(me, pins[segment], pins_carry[segment], last);
        if
        :: last ->
            CLAIM(freed_twice, status[segment] == ALIVE);
            CLAIM(freed_under_holder, standing[0] != segment + 1);
            CLAIM(freed_under_holder, standing[1] != segment + 1);
#if OPENERS > 2
            CLAIM(freed_under_holder, standing[2] != segment + 1);
#endif
            status[segment] = FREE; /* E6 */
            last = false
        :: else
        fi
    }
}

/* Drops one count, of the segment and along the chain as far as it dies. Leaves `segment` and `after` at NONE. */
inline drop_chain(me, segment, after, last)
{
    do
    :: segment != NONE ->
        atomic {
            drop_one(me, chain[segment], chain_carries[segment], last);
            if
            :: !last -> segment = NONE
            :: else -> last = false
            fi
        }
        if
        :: segment == NONE -> break
        :: else
        fi;
#ifdef UNPIN_BEFORE_CUT
        unpin(me, segment, last);
#endif
        d_step { /* E8: the link's count is ours */
            after = next[segment];
            next[segment] = SEVERED
        }
#ifndef UNPIN_BEFORE_CUT
        unpin(me, segment, last);
#endif
        atomic {
            segment = after;
            after = NONE
        }
    :: else -> break
    od
}

/* -------------------------------------------------------------------------------------------------- the writer */

/* Which free segment is taken: the first, or with -DANY_SPARE any. */
#define IS_SPARE(segment) (status[segment] == FREE)
#ifdef ANY_SPARE
#define NO_SPARE_BEFORE(segment) true
#else
#define NO_SPARE_BEFORE(segment) (status[(segment) - 1] != FREE)
#endif

proctype writer()
{
    byte taken, before, old, after = NONE, scratch;
    bool last;

    do
    :: items == ITEMS -> break
    :: items < ITEMS && (items % ITEMS_EACH != 0 || items == 0) -> /* append_here() */
#ifdef FILLED_FIRST
        d_step {
            STORE(filled_at[items]);
            filled[newest]++
        }
#endif
        d_step { /* E1 */
            STORE(word_at[items]);
            items++
        }
#ifndef FILLED_FIRST
        d_step { /* E9 */
            STORE(filled_at[items - 1]);
            filled[newest]++
        }
#endif
    :: items < ITEMS && items % ITEMS_EACH == 0 && items > 0 -> /* append_in_next(), roll() */
        atomic { /* E6 */
            if
            :: IS_SPARE(0) -> taken = 0
            :: IS_SPARE(1) && NO_SPARE_BEFORE(1) -> taken = 1
#if SEGMENTS > 2
            :: IS_SPARE(2) && NO_SPARE_BEFORE(2) && NO_SPARE_BEFORE(1) -> taken = 2
#endif
#if SEGMENTS > 3
            :: IS_SPARE(3) && NO_SPARE_BEFORE(3) && NO_SPARE_BEFORE(2) && NO_SPARE_BEFORE(1) -> taken = 3
#endif
            fi;
            status[taken] = TAKEN;
            before = home[newest]
        }
        d_step { /* cleared, the fields set, the first item laid out */
            STORE(ready[taken]);
            life[taken] = newest + 1;
            home[newest + 1] = taken;
            next[taken] = NONE;
            word_at[items] = clock;
            filled_at[items] = clock;
            filled[newest + 1] = 1
        }
        d_step { /* E4 */
            STORE(pins_carry[taken]);
#ifdef RELAXED_BIRTH
            pins_carry[taken] = 0;
#endif
            pins[taken] = 1;
            status[taken] = ALIVE
        }
        d_step { /* E4 */
            STORE(chain_carries[taken]);
#ifdef RELAXED_BIRTH
            chain_carries[taken] = 0;
#endif
#ifdef BLIND_COUNT
            chain[taken] = 1
        }
        d_step {
            STORE(chain_carries[taken]);
#endif
            chain[taken] = 2
        }
        d_step { /* E8 and E1: nobody looks at the link before the ROLL */
            next[before] = taken;
            STORE(rolled_at[newest]);
            items++
        }
        d_step { /* E7 */
            STORE(current_at[newest + 1]);
            newest++
        }
        do /* advance_oldest() */
        :: oldest + KEEP < newest ->
            d_step {
                old = home[oldest];
                scratch = next[old]
            }
#ifndef COUNT_LAST
            d_step { /* E5: relaxed, it is held already */
                CLAIM(no_such_count, chain[scratch] > 0);
                chain[scratch]++
            }
#endif
            d_step { /* E7 */
                STORE(oldest_at[oldest + 1]);
                oldest++
            }
            drop_chain(WRITER, old, after, last);
#ifdef COUNT_LAST
            atomic {
                CLAIM(no_such_count, chain[scratch] > 0);
                chain[scratch]++
            }
#endif
            scratch = 0
        :: else -> break
        od;
        drop_chain(WRITER, before, after, last)
    od;

#ifndef DESTROY
    opening == 0;
#endif
    atomic { /* E7 */
        STORE(current_gone_at);
        before = home[newest]
    }
    d_step { /* E7 */
        STORE(oldest_gone_at);
        old = home[oldest]
    }
    drop_chain(WRITER, before, after, last);
    drop_chain(WRITER, old, after, last);

    reading == 0;
    d_step {
        scratch = 0;
        do
        :: scratch < SEGMENTS ->
            CLAIM(leaked, status[scratch] == FREE && chain[scratch] == 0 && pins[scratch] == 0);
            scratch++
        :: else -> break
        od
    }
}

/* ------------------------------------------------------------------------------------------------- the openers */

/* What must hold at each access to the segment where an opener stands. */
inline stand_right(me, segment)
{
    CLAIM(not_alive, status[segment] == ALIVE && life[segment] == lives_in[me]);
    CLAIM(not_cleared, know[me] >= ready[segment])
}

#define FIRST_OF(generation) ((generation) * ITEMS_EACH)
#define IS_BEHIND_ROLL(number) ((number) > 0 && (number) % ITEMS_EACH == 0) /* laid out first, published by the ROLL */

/* The word of an item, which is there for sure only if the opener knows so. */
inline load_word(me, number, there)
{
    there = false;
    if
    :: word_at[number] != 0 -> there = true
    :: word_at[number] == 0 || word_at[number] > know[me]
    fi;
    if
    :: there && !IS_BEHIND_ROLL(number) -> LEARN(me, word_at[number]) /* E1 */
    :: there && IS_BEHIND_ROLL(number) ->
        CLAIM(half_item, know[me] >= word_at[number]) /* E1_REST: the ROLL or the birth carried it */
    :: else
    fi
}

/* The ROLL behind a generation. Who sees it looks at `next`. */
inline load_roll(me, generation, there)
{
    there = false;
    if
    :: rolled_at[generation] != 0 ->
        there = true;
#ifndef RELAXED_ROLL
        LEARN(me, rolled_at[generation]); /* E1 */
#endif
        CLAIM(no_link, know[me] >= rolled_at[generation]) /* E8 */
    :: rolled_at[generation] == 0 || rolled_at[generation] > know[me]
    fi
}

/* The place after the last item that this generation shows: filled, then word by word. */
inline walk(me, generation, number, there)
{
    number = filled[generation]; /* E9 */
    do
    :: number > 0 && filled_at[FIRST_OF(generation) + number - (number > 0)] > know[me] -> number--
    :: break
    od;
    number = FIRST_OF(generation) + number;
    if
#ifndef RELAXED_FILLED
    :: number > FIRST_OF(generation) -> LEARN(me, filled_at[number - 1])
#endif
    :: else
    fi;
    do
    :: number < FIRST_OF(generation + 1) ->
        load_word(me, number, there);
        if
        :: there -> number++
        :: else -> break
        fi
    :: else -> break
    od;
    there = false
}

/* Counts in the next segment, which the link keeps alive, and leaves the old one to be dropped. */
inline cross(me, segment, old)
{
    old = segment;
    segment = next[segment];
    CLAIM(no_link, segment < SEGMENTS);
    CLAIM(no_such_count, chain[segment] > 0);
    chain[segment]++; /* E5: relaxed, the link holds it */
    standing[me] = segment + 1;
    lives_in[me]++;
    stand_right(me, segment)
}

/* What the opener knows to be published, or to have been the oldest. */
#define KNOWS_OLDEST(me, generation) ((generation) < GENERATIONS && KNOWS(me, oldest_at[generation]))
#define KNOWS_ITEM(me, number) ((number) < ITEMS && (IS_BEHIND_ROLL(number) -> \
    KNOWS(me, rolled_at[(number) / ITEMS_EACH - ((number) > 0)]) : KNOWS(me, word_at[number])))

inline drop(me, segment, after, last)
{
    if
    :: LAPS(me) ->
        unpin(me, segment, last);
        segment = NONE
    :: else -> drop_chain(me, segment, after, last)
    fi
}

proctype opener(byte me)
{
    byte segment = NONE, old = NONE, after = NONE, generation, number, round;
    bool there, last;

open:
#ifdef TOLD
    know[me] = clock; /* something else has told this thread how far the writer is: nothing older is a right answer now */
#endif
again:
    atomic { /* E7, E4 */
        load_end(me, generation);
        if
        :: generation == GONE -> generation = 0; goto gone
        :: else -> segment = home[generation]; generation = 0
        fi;
        if
        :: LAPS(me) && pins[segment] > 0 ->
            pins[segment]++;
            LEARN(me, pins_carry[segment])
#ifdef ADD_NOT_UNLESS_ZERO
        :: !LAPS(me) ->
#else
        :: !LAPS(me) && chain[segment] > 0 ->
#endif
            chain[segment]++;
#ifndef RELAXED_TAKE
            LEARN(me, chain_carries[segment])
#endif
        :: else -> segment = NONE; goto again
        fi
    }

    atomic { /* E7: the look again, and then what an opener reads in the segment that it holds */
#ifdef NO_RECHECK
        goto stands;
#endif
#ifdef RELAXED_RECHECK
        number = know[me];
        load_end(me, generation);
        know[me] = number;
        number = 0;
#else
        load_end(me, generation);
#endif
        if
        :: generation != GONE && home[generation % GENERATIONS] == segment -> generation = 0
        :: else -> generation = 0; goto give_back
        fi;
stands:
        standing[me] = segment + 1;
        lives_in[me] = life[segment];
        stand_right(me, segment);
        if
        :: FROM_OLDEST(me) ->
            number = FIRST_OF(lives_in[me]);
            CLAIM(wrong_place, lives_in[me] <= oldest && !KNOWS_OLDEST(me, lives_in[me] + 1));
            goto opened
        :: else
        fi;
walks:
        walk(me, lives_in[me], number, there);
        if
        :: number == FIRST_OF(lives_in[me] + 1) && !LAPS(me) -> load_roll(me, lives_in[me], there)
        :: else
        fi;
        if
        :: there ->
            there = false;
            cross(me, segment, old)
        :: else ->
            CLAIM(wrong_place, number <= items && (LAPS(me) || !KNOWS_ITEM(me, number)));
            CLAIM(wrong_place, number == 0 || KNOWS_ITEM(me, number - (number > 0)));
            goto opened
        fi
    }
    drop_chain(me, old, after, last);
    atomic {
        stand_right(me, segment);
        goto walks
    }

give_back:
    drop(me, segment, after, last);
    goto again;

opened:
    opening = opening - (round == ROUNDS - 1);

#ifdef RELAXED_DROP
    old = segment;
    drop(me, segment, after, last);
    segment = old;
    old = NONE;
#endif
reads:
    atomic { /* one item, if there is one, here or behind the ROLL */
        stand_right(me, segment);
        if
        :: number == FIRST_OF(lives_in[me] + 1) && !LAPS(me) -> load_roll(me, lives_in[me], there)
        :: number < FIRST_OF(lives_in[me] + 1) -> load_word(me, number, there)
        :: else
        fi;
        if
        :: there && number == FIRST_OF(lives_in[me] + 1) ->
            there = false;
            cross(me, segment, old)
        :: else ->
            there = false;
            number = 0;
            lives_in[me] = 0;
            standing[me] = 0;
            goto leaves
        fi
    }
    drop_chain(me, old, after, last);
    goto reads;

leaves:
#ifndef RELAXED_DROP
    drop(me, segment, after, last);
#endif
    goto closed;

gone:
    opening = opening - (round == ROUNDS - 1);

closed:
    atomic {
        segment = NONE;
        round++;
        if
        :: round < ROUNDS -> goto open
        :: else -> know[me] = 0; reading--
        fi
    }
}

init {
    byte i;

    atomic {
        i = 0;
        do
        :: i < SEGMENTS -> next[i] = NONE; i++
        :: else -> break
        od;
        chain[0] = 2; /* aether_buffer_create(): current and oldest */
        pins[0] = 1;
        status[0] = ALIVE;
        i = 0;
        do
        :: i < OPENERS -> run opener(i); i++
        :: else -> break
        od;
        run writer();
        i = 0
    }
}
