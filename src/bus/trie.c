#include "bus/trie.h"

#include "base/check.h"
#include "base/relax.h"
#include "base/word.h"

enum { TOKEN_ROOM = 16, TEXT_ROOM = 40 };

/*
 * A node: a token and, of a leaf, the rest of the one pattern that comes by here, "token.rest".
 *
 *      a leaf:   size > token_size, ends, and nothing is below it
 *      others:   size == token_size; what is below stands in `inner`
 *      but for the root: ends, or something is below
 *
 * Its text stands in the node as far as it has room there. So nearly all nodes are one cache line, and nothing else.
 */
struct ae_trie_node {
    void *value;         /* of the pattern that ends here, if `ends` */
    uint32_t parent;     /* its id; of the root: 0 */
    uint32_t next, prev; /* literal children of the same parent; `next` of a free node: another one */
    uint32_t token_size : 14;
    uint32_t size : 14; /* of the text */
    uint32_t ends : 1;  /* a pattern ends here, or is this leaf's */
    uint32_t rest : 1;  /* a pattern goes on with '>' and nothing else */
    uint32_t wild : 1;  /* a leaf that has a wildcard behind its token */
    union {
        char text[TEXT_ROOM]; /* a leaf's, if it has room there */
        char *memory;         /* a text that has no room */
        struct {
            char token[TOKEN_ROOM]; /* the text of others, in the same way */
            void *rest_value;       /* of the pattern with '>', if `rest` */
            uint64_t filter;        /* a bit for each token hash that a literal child has, or had since there was none */
            uint32_t star;          /* the child '*', or 0 */
            uint32_t first;         /* the newest literal child, or 0 */
        } inner;
    };
};

_Static_assert(sizeof(struct ae_trie_node) == 64, "a node is a cache line");

/* A literal node, by the upper half of its path's hash, whose upper bits say where the search for it begins. */
struct ae_trie_slot {
    uint32_t tag;
    uint32_t node; /* 0: none */
};

enum { ROOT = 0, SIZE_MASK = 0x3fff, FIRST_CHUNK_SHIFT = 4, NODE_ALIGN = 64, FIRST_SLOTS_SHIFT = 29 };

static const uint64_t ROOT_PATH = 0x2545f4914f6cdd1d, STAR_HASH = 0x8ebc6af09c88c6e3, PATH_FACTOR = 0x9e3779b97f4a7c15;

/* A node and how one comes there from the root. */
struct spot {
    uint32_t node;
    uint64_t path;
};

static uint64_t path_behind(uint64_t path, uint64_t token_hash)
{
    return ((path << 23 | path >> 41) ^ token_hash) * PATH_FACTOR;
}

static uint32_t tag_of(uint64_t path)
{
    return (uint32_t)(path >> 32);
}

static uint64_t filter_of(uint64_t token_hash)
{
    return UINT64_C(1) << (token_hash & 63);
}

static aether_text behind(aether_text text, size_t taken)
{
    return (aether_text){text.data + taken, text.size - taken};
}

/* ------------------------------------------------------------------------------------------------------------- nodes */

/* Chunk k has the ids from (16 << k) - 16 on. */
static struct ae_trie_node *node_at(const struct ae_trie *trie, uint32_t id)
{
    uint64_t place = (uint64_t)id + (1U << FIRST_CHUNK_SHIFT);
    unsigned top = 63U - (unsigned)__builtin_clzll(place);
    return &trie->chunks[top - FIRST_CHUNK_SHIFT][place - (UINT64_C(1) << top)];
}

static size_t chunk_size(size_t chunk)
{
    return ((size_t)1 << FIRST_CHUNK_SHIFT << chunk) * sizeof(struct ae_trie_node);
}

static bool is_leaf(const struct ae_trie_node *node)
{
    return node->size > node->token_size;
}

/* How much text has room in a node. */
static size_t room_of(size_t token_size, size_t size)
{
    return size > token_size ? TEXT_ROOM : TOKEN_ROOM;
}

static const char *bytes_of(const struct ae_trie_node *node)
{
    return AE_LIKELY(node->size <= room_of(node->token_size, node->size)) ? node->text : node->memory;
}

static aether_text text_of(const struct ae_trie_node *node)
{
    return aether_bytes(bytes_of(node), node->size);
}

static aether_text token_of(const struct ae_trie_node *node)
{
    return aether_bytes(bytes_of(node), node->token_size);
}

/* Of a leaf: what is behind its token and the dot. */
static aether_text tail_of(const struct ae_trie_node *node)
{
    return behind(text_of(node), node->token_size + 1U);
}

/* NULL in *memory where the text has room in the node. False: no memory. */
static bool alloc_text(const struct ae_trie *trie, size_t token_size, size_t size, char **memory)
{
    *memory = NULL;
    if (size <= room_of(token_size, size))
        return true;
    *memory = ae_alloc(trie->allocator, size, 1);
    return *memory != NULL;
}

static void free_text(const struct ae_trie *trie, struct ae_trie_node *node)
{
    if (node->size > room_of(node->token_size, node->size))
        ae_free(trie->allocator, node->memory, node->size, 1);
}

/* In a valid pattern these bytes stand for nothing else. */
static bool has_wildcard(aether_text text)
{
    return memchr(text.data, '*', text.size) != NULL || text.data[text.size - 1] == '>';
}

/* The node becomes a leaf, or one with nothing below, with this text, which does not stand in it. */
static void set_text(struct ae_trie_node *node, size_t token_size, aether_text text, char *memory)
{
    node->token_size = token_size & SIZE_MASK;
    node->size = text.size & SIZE_MASK;
    node->rest = false;
    node->wild = is_leaf(node) && has_wildcard(behind(text, token_size + 1));
    if (!is_leaf(node)) {
        node->inner.rest_value = NULL;
        node->inner.filter = 0;
        node->inner.star = node->inner.first = 0;
    }
    if (memory != NULL)
        node->memory = memory;
    if (text.size > 0)
        memcpy(memory != NULL ? memory : node->text, text.data, text.size);
}

static bool add_chunk(struct ae_trie *trie, size_t chunk)
{
    if (chunk >= AE_TRIE_CHUNKS)
        return false;
    trie->chunks[chunk] = ae_alloc(trie->allocator, chunk_size(chunk), NODE_ALIGN);
    return trie->chunks[chunk] != NULL;
}

/* The id of a node that nobody uses, which stays free until it is taken; 0: no memory. */
static uint32_t free_node(struct ae_trie *trie)
{
    if (trie->free_id != 0)
        return trie->free_id;
    uint64_t place = (uint64_t)trie->ids + (1U << FIRST_CHUNK_SHIFT);
    size_t chunk = 63U - (size_t)__builtin_clzll(place) - FIRST_CHUNK_SHIFT;
    bool there = chunk < AE_TRIE_CHUNKS && trie->chunks[chunk] != NULL;
    if (!there && !add_chunk(trie, chunk))
        return 0;
    struct ae_trie_node *node = node_at(trie, trie->ids);
    node->next = 0;
    node->size = node->token_size = 0;
    return trie->free_id = trie->ids++;
}

static void take_node(struct ae_trie *trie, uint32_t id)
{
    AE_ASSERT(trie->free_id == id);
    trie->free_id = node_at(trie, id)->next;
}

static void give_node(struct ae_trie *trie, uint32_t id)
{
    struct ae_trie_node *node = node_at(trie, id);
    free_text(trie, node);
    node->size = node->token_size = 0;
    node->next = trie->free_id;
    trie->free_id = id;
}

/* ------------------------------------------------------------------------------------------------------------- slots */

/* The uppermost bits of a tag are the shard's number. */
static inline const struct ae_trie_shard *shard_of(const struct ae_trie *trie, uint32_t tag)
{
    return &trie->shards[tag >> 24];
}

static struct ae_trie_shard *shard_in(struct ae_trie *trie, uint32_t tag)
{
    return &trie->shards[tag >> 24];
}

static size_t slot_count(const struct ae_trie_shard *shard)
{
    return shard->slots != NULL ? (size_t)1 << (32 - shard->shift) : 0;
}

/* Where the search for a tag begins, by the bits that follow. */
static inline size_t home_of(const struct ae_trie_shard *shard, uint32_t tag)
{
    return tag << 8 >> shard->shift;
}

static inline size_t slot_behind(const struct ae_trie_shard *shard, size_t place)
{
    return (place + 1) & (((size_t)1 << (32 - shard->shift)) - 1);
}

static void put_slot(struct ae_trie_shard *shard, struct ae_trie_slot slot)
{
    size_t place = home_of(shard, slot.tag);
    while (shard->slots[place].node != 0)
        place = slot_behind(shard, place);
    shard->slots[place] = slot;
}

static void free_slots(const struct ae_trie *trie, const struct ae_trie_shard *shard)
{
    if (shard->slots != NULL)
        ae_free(trie->allocator, shard->slots, slot_count(shard) * sizeof *shard->slots, NODE_ALIGN);
}

/* Makes room for one more with this path. False: no memory. */
static bool ensure_slot(struct ae_trie *trie, uint64_t path)
{
    struct ae_trie_shard *shard = shard_in(trie, tag_of(path)), old = *shard;
    if (((size_t)old.used + 1) * 4 <= slot_count(&old) * 3)
        return true;
    uint32_t shift = old.slots != NULL ? old.shift - 1 : FIRST_SLOTS_SHIFT;
    size_t bytes = ((size_t)1 << (32 - shift)) * sizeof(struct ae_trie_slot);
    struct ae_trie_slot *slots = ae_alloc(trie->allocator, bytes, NODE_ALIGN);
    if (slots == NULL)
        return false;
    memset(slots, 0, bytes);
    shard->slots = slots;
    shard->shift = shift;
    for (size_t i = 0; i < slot_count(&old); i++)
        if (old.slots[i].node != 0)
            put_slot(shard, old.slots[i]);
    free_slots(trie, &old);
    return true;
}

/* Empties the node's slot, and moves up those behind it that it kept from their place. */
static void drop_slot(struct ae_trie *trie, struct spot spot)
{
    struct ae_trie_shard *shard = shard_in(trie, tag_of(spot.path));
    size_t hole = home_of(shard, tag_of(spot.path)), mask = slot_count(shard) - 1;
    while (shard->slots[hole].node != spot.node) {
        AE_ASSERT(shard->slots[hole].node != 0);
        hole = slot_behind(shard, hole);
    }
    for (size_t at = slot_behind(shard, hole); shard->slots[at].node != 0; at = slot_behind(shard, at)) {
        size_t home = home_of(shard, shard->slots[at].tag);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        shard->slots[hole] = shard->slots[at];
        hole = at;
    }
    shard->slots[hole].node = 0;
    shard->used--;
}

/* A token as it is looked for. */
struct token {
    const char *data;
    size_t size;
    uint64_t first, mask; /* its first 8 bytes, with zeros where it has fewer, and which bits of a word these are */
    uint64_t hash;
};

/* `end` is where the text that has the token ends. */
static inline struct token make_token(const char *data, size_t size, const char *end)
{
    uint64_t first = ae_word_load_within(data, size < 8 ? size : 8, end);
    return (struct token){data, size, first, ae_word_mask(size), ae_hash_bytes(first, data, size)};
}

static struct token token_from(aether_text text)
{
    return make_token(text.data, text.size, text.data + text.size);
}

/* A text that is not in the node has more than 8 bytes. */
static inline bool is_child(const struct ae_trie_node *node, uint32_t parent, const struct token *token)
{
    if (node->parent != parent || node->token_size != token->size)
        return false;
    const char *bytes = bytes_of(node);
    return (ae_word_load(bytes) & token->mask) == token->first &&
           (token->size <= 8 || memcmp(bytes + 8, token->data + 8, token->size - 8) == 0);
}

/* The child of `parent` with this token, to which `path` leads; 0: none. */
static inline uint32_t find_slot(const struct ae_trie *trie, uint32_t parent, uint64_t path, const struct token *token)
{
    uint32_t tag = tag_of(path);
    const struct ae_trie_shard *shard = shard_of(trie, tag);
    if (AE_UNLIKELY(shard->slots == NULL))
        return 0;
    for (size_t place = home_of(shard, tag); shard->slots[place].node != 0; place = slot_behind(shard, place)) {
        struct ae_trie_slot slot = shard->slots[place];
        if (slot.tag == tag && is_child(node_at(trie, slot.node), parent, token))
            return slot.node;
    }
    return 0;
}

/* The literal child with this token; its `node` is 0 if there is none. */
static inline struct spot literal_of(const struct ae_trie *trie, const struct ae_trie_node *node, struct spot spot,
                                     const struct token *token)
{
    struct spot child = {0, path_behind(spot.path, token->hash)};
    if ((node->inner.filter & filter_of(token->hash)) != 0)
        child.node = find_slot(trie, spot.node, child.path, token);
    return child;
}

/* ---------------------------------------------------------------------------------------------- children of a node */

/* The first token of a text that goes on. */
static aether_text first_token(aether_text text)
{
    aether_text token = {NULL, 0};
    ae_token_next(&text, &token);
    return token;
}

static aether_text behind_token(aether_text text, aether_text token)
{
    return behind(text, token.size + (token.size < text.size));
}

/* Where the child with this token is; its `node` is 0 if there is none. The parent is no leaf. */
static struct spot child_of(const struct ae_trie *trie, struct spot parent, aether_text token)
{
    const struct ae_trie_node *node = node_at(trie, parent.node);
    if (ae_text_is(token, '*'))
        return (struct spot){node->inner.star, path_behind(parent.path, STAR_HASH)};
    struct token literal = token_from(token);
    return literal_of(trie, node, parent, &literal);
}

static void link_child(struct ae_trie *trie, uint32_t parent, struct spot child)
{
    struct ae_trie_node *node = node_at(trie, child.node), *above = node_at(trie, parent);
    node->parent = parent;
    node->prev = node->next = 0;
    aether_text token = token_of(node);
    if (ae_text_is(token, '*')) {
        above->inner.star = child.node;
        return;
    }
    node->next = above->inner.first;
    if (node->next != 0)
        node_at(trie, node->next)->prev = child.node;
    above->inner.first = child.node;
    above->inner.filter |= filter_of(ae_token_hash(token.data, token.size, token.data + token.size));
    struct ae_trie_shard *shard = shard_in(trie, tag_of(child.path));
    put_slot(shard, (struct ae_trie_slot){tag_of(child.path), child.node});
    shard->used++;
}

static void unlink_child(struct ae_trie *trie, struct spot child)
{
    struct ae_trie_node *node = node_at(trie, child.node), *above = node_at(trie, node->parent);
    if (above->inner.star == child.node) {
        above->inner.star = 0;
        return;
    }
    if (node->next != 0)
        node_at(trie, node->next)->prev = node->prev;
    if (node->prev != 0)
        node_at(trie, node->prev)->next = node->next;
    else
        above->inner.first = node->next;
    if (above->inner.first == 0)
        above->inner.filter = 0;
    drop_slot(trie, child);
}

/* A new child of `parent` for a pattern that goes on with `text`: where its value belongs. NULL: no memory. */
static void **add_child(struct ae_trie *trie, uint32_t parent, uint64_t path, aether_text text)
{
    aether_text token = first_token(text);
    bool rest = ae_text_is(behind_token(text, token), '>');
    char *memory;
    aether_text kept = rest ? token : text;
    uint32_t id = free_node(trie);
    if (id == 0 || !ensure_slot(trie, path) || !alloc_text(trie, token.size, kept.size, &memory))
        return NULL;
    take_node(trie, id);
    struct ae_trie_node *node = node_at(trie, id);
    set_text(node, token.size, kept, memory);
    node->value = NULL;
    node->rest = rest;
    node->ends = !rest;
    link_child(trie, parent, (struct spot){id, path});
    return rest ? &node->inner.rest_value : &node->value;
}

/* ------------------------------------------------------------------------------------------- leaves and what they were */

/* A leaf becomes a node with one child, which has what was behind its token. False: no memory, it is a leaf still. */
static bool open_leaf(struct ae_trie *trie, struct spot spot)
{
    struct ae_trie_node *node = node_at(trie, spot.node);
    struct ae_trie_node was = *node; /* its text, which the child's is made of */
    aether_text token = token_of(&was), tail = tail_of(&was), first = first_token(tail);
    char *memory;
    if (!alloc_text(trie, token.size, token.size, &memory))
        return false;
    set_text(node, token.size, token, memory);
    void **value = add_child(trie, spot.node, child_of(trie, spot, first).path, tail);
    if (value == NULL) {
        free_text(trie, node);
        *node = was;
        return false;
    }
    *value = was.value;
    node->value = NULL;
    node->ends = false;
    free_text(trie, &was);
    return true;
}

/* The only child of a node that has nothing else, if that child has at most one pattern; else 0. */
static uint32_t only_child(const struct ae_trie *trie, const struct ae_trie_node *node)
{
    if (is_leaf(node) || node->ends || node->rest || (node->inner.star != 0) == (node->inner.first != 0))
        return 0;
    uint32_t id = node->inner.star != 0 ? node->inner.star : node->inner.first;
    const struct ae_trie_node *child = node_at(trie, id);
    bool below = !is_leaf(child) && (child->inner.star != 0 || child->inner.first != 0);
    return child->next != 0 || below || child->ends == child->rest ? 0 : id;
}

/* Undoes open_leaf(), where it can: it need not be. */
static bool close_leaf(struct ae_trie *trie, struct spot spot)
{
    struct ae_trie_node *node = node_at(trie, spot.node);
    uint32_t id = only_child(trie, node);
    if (id == 0)
        return false;
    struct ae_trie_node *child = node_at(trie, id);
    aether_text token = token_of(node), tail = text_of(child);
    char text[AETHER_SUBJECT_MAX];
    size_t size = token.size + 1 + tail.size + (child->rest ? 2 : 0);
    char *memory;
    if (!alloc_text(trie, token.size, size, &memory))
        return false;
    memcpy(text, token.data, token.size);
    text[token.size] = '.';
    memcpy(text + token.size + 1, tail.data, tail.size);
    if (child->rest) {
        text[size - 2] = '.';
        text[size - 1] = '>';
    }
    void *value = child->rest ? child->inner.rest_value : child->value;
    unlink_child(trie, (struct spot){id, child_of(trie, spot, token_of(child)).path});
    give_node(trie, id);
    free_text(trie, node);
    set_text(node, token.size, aether_bytes(text, size), memory);
    node->ends = true;
    node->value = value;
    return true;
}

/* -------------------------------------------------------------------------------------------- insert, find, remove */

void ae_trie_init(struct ae_trie *trie, const aether_allocator *allocator)
{
    *trie = (struct ae_trie){.allocator = allocator};
}

/* Gives back all memory. Free nodes have no text. */
static void release(struct ae_trie *trie)
{
    for (uint32_t id = 0; id < trie->ids; id++)
        free_text(trie, node_at(trie, id));
    for (size_t i = 0; i < AE_TRIE_SHARDS; i++) {
        free_slots(trie, &trie->shards[i]);
        trie->shards[i] = (struct ae_trie_shard){0};
    }
    for (size_t i = 0; i < AE_TRIE_CHUNKS && trie->chunks[i] != NULL; i++) {
        ae_free(trie->allocator, trie->chunks[i], chunk_size(i), NODE_ALIGN);
        trie->chunks[i] = NULL;
    }
    trie->ids = trie->free_id = 0;
    trie->count = 0;
}

void ae_trie_destroy(struct ae_trie *trie)
{
    release(trie);
}

static bool ensure_root(struct ae_trie *trie)
{
    if (trie->ids > 0)
        return true;
    if (trie->chunks[0] == NULL && !add_chunk(trie, 0))
        return false;
    trie->ids = 1;
    struct ae_trie_node *root = node_at(trie, ROOT);
    memset(root, 0, sizeof *root);
    return true;
}

static void note_change(struct ae_trie *trie, const struct ae_subject *pattern)
{
    if (pattern->first_hash == AE_FIRST_WILD)
        trie->wild_change++;
    else
        trie->changes[pattern->first_hash % AE_GENERATIONS]++;
}

static void **note_insert(struct ae_trie *trie, const struct ae_subject *pattern, void **value)
{
    if (value == NULL)
        return NULL;
    trie->count++;
    note_change(trie, pattern);
    return value;
}

void **ae_trie_insert(struct ae_trie *trie, const struct ae_subject *pattern)
{
    if (!ensure_root(trie))
        return NULL;
    struct spot spot = {ROOT, ROOT_PATH};
    aether_text text = pattern->text;
    for (;;) {
        struct ae_trie_node *node = node_at(trie, spot.node);
        if (is_leaf(node)) {
            if (ae_text_same(tail_of(node), text))
                return &node->value;
            if (!open_leaf(trie, spot))
                return NULL;
        }
        if (text.size == 0 && node->ends)
            return &node->value;
        if (text.size == 0) {
            node->ends = true;
            node->value = NULL;
            return note_insert(trie, pattern, &node->value);
        }
        if (ae_text_is(text, '>') && node->rest)
            return &node->inner.rest_value;
        if (ae_text_is(text, '>')) {
            node->rest = true;
            node->inner.rest_value = NULL;
            return note_insert(trie, pattern, &node->inner.rest_value);
        }
        aether_text token = first_token(text);
        struct spot child = child_of(trie, spot, token);
        if (child.node == 0)
            return note_insert(trie, pattern, add_child(trie, spot.node, child.path, text));
        spot = child;
        text = behind_token(text, token);
    }
}

/* The way to a pattern: the nodes from the root to the one that has it, or nothing. */
struct way {
    size_t length;
    bool rest; /* it is what goes on there with '>' */
    struct spot spots[AETHER_TOKENS_MAX + 1];
};

static void find_way(const struct ae_trie *trie, aether_text text, struct way *way)
{
    way->length = 0;
    if (trie->ids == 0)
        return;
    way->spots[0] = (struct spot){ROOT, ROOT_PATH};
    for (size_t length = 1;; length++) {
        const struct ae_trie_node *node = node_at(trie, way->spots[length - 1].node);
        way->rest = !is_leaf(node) && ae_text_is(text, '>');
        if (is_leaf(node) || text.size == 0 || way->rest) {
            bool there = is_leaf(node) ? ae_text_same(tail_of(node), text) : way->rest ? node->rest : node->ends;
            way->length = there ? length : 0;
            return;
        }
        aether_text token = first_token(text);
        way->spots[length] = child_of(trie, way->spots[length - 1], token);
        if (way->spots[length].node == 0)
            return;
        text = behind_token(text, token);
    }
}

void *ae_trie_find(const struct ae_trie *trie, const struct ae_subject *pattern)
{
    struct way way;
    find_way(trie, pattern->text, &way);
    if (way.length == 0)
        return NULL;
    const struct ae_trie_node *node = node_at(trie, way.spots[way.length - 1].node);
    return way.rest ? node->inner.rest_value : node->value;
}

static bool is_bare(const struct ae_trie_node *node)
{
    return !node->ends && (is_leaf(node) || (!node->rest && node->inner.star == 0 && node->inner.first == 0));
}

void ae_trie_remove(struct ae_trie *trie, const struct ae_subject *pattern)
{
    struct way way;
    find_way(trie, pattern->text, &way);
    if (way.length == 0)
        return;
    struct ae_trie_node *node = node_at(trie, way.spots[way.length - 1].node);
    if (way.rest)
        node->rest = false;
    else
        node->ends = false;
    size_t last = way.length - 1;
    for (; last > 0 && is_bare(node_at(trie, way.spots[last].node)); last--) {
        unlink_child(trie, way.spots[last]);
        give_node(trie, way.spots[last].node);
    }
    for (size_t at = last; at > 0; at--) /* what is left of the last one may suit its parent */
        if (!close_leaf(trie, way.spots[at]) && at < last)
            break;
    trie->count--;
    note_change(trie, pattern);
    if (trie->count == 0 && trie->chunks[1] != NULL)
        release(trie);
}

/* ---------------------------------------------------------------------------------------------------------- matches */

void ae_matches_init(struct ae_matches *matches, const aether_allocator *allocator)
{
    matches->values = matches->own;
    matches->count = 0;
    matches->capacity = sizeof matches->own / sizeof *matches->own;
    matches->allocator = allocator;
}

void ae_matches_destroy(struct ae_matches *matches)
{
    if (matches->values != matches->own)
        ae_free(matches->allocator, matches->values, matches->capacity * sizeof *matches->values, _Alignof(void *));
    ae_matches_init(matches, matches->allocator);
}

static bool grow(struct ae_matches *matches)
{
    size_t capacity = matches->capacity * 2, count = matches->count;
    void **values = ae_alloc(matches->allocator, capacity * sizeof *values, _Alignof(void *));
    if (values == NULL)
        return false;
    memcpy(values, matches->values, count * sizeof *values);
    ae_matches_destroy(matches);
    matches->values = values;
    matches->capacity = capacity;
    matches->count = count;
    return true;
}

static bool add_match(struct ae_matches *matches, void *value)
{
    if (AE_UNLIKELY(matches->count == matches->capacity) && !grow(matches))
        return false;
    matches->values[matches->count++] = value;
    return true;
}

/* A subject, token by token. */
struct tokens {
    const char *end; /* of the text */
    size_t count;
    struct token at[AETHER_TOKENS_MAX];
};

/* A bit for each of the next 64 bytes of the text, or of those there are: the dots. */
static inline uint64_t dots_from(const char *at, const char *end)
{
    uint64_t dots = 0;
    for (size_t done = 0; done < 64 && at + done < end; done += 8) {
        size_t left = (size_t)(end - at) - done;
        uint64_t word = left >= 8 ? ae_word_load(at + done) : ae_word_load_part(at + done, left);
        dots |= ae_word_gather(ae_word_dots(word)) << done;
    }
    return dots;
}

static void split(struct tokens *tokens, aether_text text)
{
    const char *start = text.data;
    tokens->end = text.data + text.size;
    tokens->count = 0;
    for (const char *block = text.data; block < tokens->end; block += 64)
        for (uint64_t dots = dots_from(block, tokens->end); dots != 0; dots &= dots - 1) {
            const char *dot = block + __builtin_ctzll(dots);
            tokens->at[tokens->count++] = make_token(start, (size_t)(dot - start), tokens->end);
            start = dot + 1;
        }
    tokens->at[tokens->count++] = make_token(start, (size_t)(tokens->end - start), tokens->end);
}

/* A node that is still to be looked at: it stands for the first `depth` tokens. */
struct step {
    struct spot spot;
    size_t depth;
};

static void fetch_node(const struct ae_trie *trie, uint32_t id)
{
    __builtin_prefetch(node_at(trie, id));
}

/* Asks for the slots on the way that has no wildcards, all at once. */
static void fetch_slots(const struct ae_trie *trie, const struct tokens *tokens)
{
    uint64_t path = ROOT_PATH;
    for (size_t i = 0; i < tokens->count; i++) {
        path = path_behind(path, tokens->at[i].hash);
        const struct ae_trie_shard *shard = shard_of(trie, tag_of(path));
        if (AE_LIKELY(shard->slots != NULL))
            __builtin_prefetch(&shard->slots[home_of(shard, tag_of(path))]);
    }
}

/* The values of one node. False: no memory. */
static bool match_node(const struct ae_trie_node *node, const struct tokens *tokens, size_t depth,
                       struct ae_matches *matches)
{
    if (is_leaf(node)) {
        const char *left = depth < tokens->count ? tokens->at[depth].data : tokens->end;
        aether_text subject = aether_bytes(left, (size_t)(tokens->end - left)), tail = tail_of(node);
        bool matched = node->wild ? ae_pattern_matches(tail, subject) : ae_text_same(tail, subject);
        return !matched || add_match(matches, node->value);
    }
    if (depth == tokens->count)
        return !node->ends || add_match(matches, node->value);
    return !node->rest || add_match(matches, node->inner.rest_value);
}

bool ae_trie_match(const struct ae_trie *trie, const struct ae_subject *subject, struct ae_matches *matches)
{
    matches->count = 0;
    if (trie->count == 0)
        return true;
    struct tokens tokens;
    split(&tokens, subject->text);
    fetch_slots(trie, &tokens);
    struct step steps[AETHER_TOKENS_MAX + 1]; /* one for each depth: of two children one is looked at next */
    size_t left = 0;
    steps[left++] = (struct step){{ROOT, ROOT_PATH}, 0};
    while (left > 0) {
        struct step step = steps[--left];
        const struct ae_trie_node *node = node_at(trie, step.spot.node);
        if (!match_node(node, &tokens, step.depth, matches))
            return false;
        if (is_leaf(node) || step.depth == tokens.count)
            continue;
        if (node->inner.star != 0) {
            fetch_node(trie, node->inner.star);
            steps[left++] = (struct step){{node->inner.star, path_behind(step.spot.path, STAR_HASH)}, step.depth + 1};
        }
        struct spot child = literal_of(trie, node, step.spot, &tokens.at[step.depth]);
        if (child.node != 0)
            steps[left++] = (struct step){child, step.depth + 1};
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ walks */

/* What a walk carries down: at most AETHER_TOKENS_MAX calls deep. */
struct walk {
    const struct ae_trie *trie;
    enum ae_relation relation;
    bool (*each)(void *value, void *user);
    void *user;
};

static bool walk_all(const struct walk *walk, uint32_t id);

/* All patterns that have at least one more token than the node. */
static bool walk_below(const struct walk *walk, const struct ae_trie_node *node)
{
    if (node->rest && !walk->each(node->inner.rest_value, walk->user))
        return false;
    if (node->inner.star != 0 && !walk_all(walk, node->inner.star))
        return false;
    for (uint32_t id = node->inner.first; id != 0; id = node_at(walk->trie, id)->next)
        if (!walk_all(walk, id))
            return false;
    return true;
}

static bool walk_all(const struct walk *walk, uint32_t id)
{
    const struct ae_trie_node *node = node_at(walk->trie, id);
    if (node->ends && !walk->each(node->value, walk->user))
        return false;
    return is_leaf(node) || walk_below(walk, node);
}

/* Whether patterns with these ends are in the relation: `mine` is the trie's, `given` what the walk was asked for. */
static bool is_related(enum ae_relation relation, aether_text mine, aether_text given)
{
    switch (relation) {
    case AE_COVERS:
        return ae_pattern_covers(mine, given);
    case AE_COVERED_BY:
        return ae_pattern_covers(given, mine);
    default:
        return ae_pattern_overlaps(mine, given);
    }
}

static bool walk_node(const struct walk *walk, struct spot spot, aether_text given);

static bool walk_child(const struct walk *walk, struct spot child, aether_text given)
{
    return child.node == 0 || walk_node(walk, child, given);
}

/* All literal children, given a token that stands for any of them, and what follows it. */
static bool walk_literals(const struct walk *walk, const struct ae_trie_node *node, struct spot spot, aether_text given)
{
    for (uint32_t id = node->inner.first; id != 0; id = node_at(walk->trie, id)->next) {
        aether_text token = token_of(node_at(walk->trie, id));
        uint64_t hash = ae_token_hash(token.data, token.size, token.data + token.size);
        if (!walk_node(walk, (struct spot){id, path_behind(spot.path, hash)}, given))
            return false;
    }
    return true;
}

/* The children that a token leads to. A '*' of the trie's is no part of what a literal covers, nor the other way round. */
static bool walk_children(const struct walk *walk, const struct ae_trie_node *node, struct spot spot, aether_text token,
                          aether_text given)
{
    bool any = ae_text_is(token, '*');
    struct spot star = child_of(walk->trie, spot, AETHER_TEXT("*"));
    if ((any || walk->relation != AE_COVERED_BY) && !walk_child(walk, star, given))
        return false;
    if (!any)
        return walk_child(walk, child_of(walk->trie, spot, token), given);
    return walk->relation == AE_COVERS || walk_literals(walk, node, spot, given);
}

/* The patterns of a node and below, given what follows the tokens up to it. */
static bool walk_node(const struct walk *walk, struct spot spot, aether_text given)
{
    const struct ae_trie_node *node = node_at(walk->trie, spot.node);
    if (is_leaf(node))
        return !is_related(walk->relation, tail_of(node), given) || walk->each(node->value, walk->user);
    if (given.size == 0)
        return !node->ends || walk->each(node->value, walk->user);
    if (ae_text_is(given, '>') && walk->relation != AE_COVERS)
        return walk_below(walk, node);
    if (node->rest && walk->relation != AE_COVERED_BY && !walk->each(node->inner.rest_value, walk->user))
        return false;
    if (ae_text_is(given, '>'))
        return true;
    aether_text token = first_token(given);
    return walk_children(walk, node, spot, token, behind_token(given, token));
}

void ae_trie_walk(const struct ae_trie *trie, aether_text pattern, enum ae_relation relation,
                  bool (*each)(void *value, void *user), void *user)
{
    struct walk walk = {trie, relation, each, user};
    if (trie->count > 0)
        (void)walk_node(&walk, (struct spot){ROOT, ROOT_PATH}, pattern);
}

void ae_trie_each(const struct ae_trie *trie, bool (*each)(void *value, void *user), void *user)
{
    struct walk walk = {trie, AE_OVERLAPS, each, user};
    if (trie->count > 0)
        (void)walk_below(&walk, node_at(trie, ROOT));
}

/* ------------------------------------------------------------------------------------------------------------ check */

/* What has been seen below the node, itself included. */
struct seen {
    size_t patterns, literals, nodes;
};

static void check_node(const struct ae_trie *trie, struct spot spot, struct seen *seen)
{
    const struct ae_trie_node *node = node_at(trie, spot.node);
    seen->nodes++;
    seen->patterns += (size_t)node->ends + node->rest;
    AE_ASSERT(node->size >= node->token_size && node->size <= AETHER_SUBJECT_MAX);
    AE_ASSERT(!is_leaf(node) || (node->ends && !node->rest && node->size > node->token_size + 1U));
    AE_ASSERT(!is_leaf(node) || !ae_text_is(tail_of(node), '>'));
    AE_ASSERT(spot.node == ROOT || !is_bare(node));
    if (is_leaf(node))
        return;
    if (node->inner.star != 0) {
        AE_ASSERT(node_at(trie, node->inner.star)->parent == spot.node);
        AE_ASSERT(ae_text_is(token_of(node_at(trie, node->inner.star)), '*'));
        check_node(trie, child_of(trie, spot, AETHER_TEXT("*")), seen);
    }
    AE_ASSERT(node->inner.first != 0 || node->inner.filter == 0);
    for (uint32_t id = node->inner.first, before = 0; id != 0; before = id, id = node_at(trie, id)->next) {
        struct spot child = child_of(trie, spot, token_of(node_at(trie, id)));
        AE_ASSERT(child.node == id && node_at(trie, id)->prev == before);
        seen->literals++;
        check_node(trie, child, seen);
    }
}

void ae_trie_check(const struct ae_trie *trie)
{
    struct seen seen = {0};
    if (trie->ids > 0)
        check_node(trie, (struct spot){ROOT, ROOT_PATH}, &seen);
    size_t free_nodes = 0, slots = 0;
    for (uint32_t id = trie->free_id; id != 0; id = node_at(trie, id)->next)
        free_nodes++;
    for (size_t i = 0; i < AE_TRIE_SHARDS; i++) {
        size_t there = 0;
        for (size_t place = 0; place < slot_count(&trie->shards[i]); place++)
            there += trie->shards[i].slots[place].node != 0;
        AE_ASSERT(there == trie->shards[i].used);
        slots += there;
    }
    AE_ASSERT(seen.patterns == trie->count);
    AE_ASSERT(seen.nodes + free_nodes == trie->ids);
    AE_ASSERT(seen.literals == slots);
}
