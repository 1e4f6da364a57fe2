/* What belongs to the whole process: preparations, and the registry of handles that change in a child. */
#include "common/unit.h"

#include "base/process.h"
#include "common/unit_child.h"

TEST(base_process, D5_preparing_again_is_ok)
{
    uint32_t generation = ae_fork_generation;
    expect_ok(ae_process_prepare());
    expect_ok(ae_process_prepare());
    expect_number(generation, ae_fork_generation);
}

struct node {
    struct ae_fork_node fork;
    int calls;
};

static void count_call(struct ae_fork_node *fork)
{
    ((struct node *)fork)->calls++;
}

static struct node nodes[3];
static uint32_t generation_of_parent;

static const char *look_in_the_child(void *user)
{
    (void)user;
    claim(ae_fork_generation == generation_of_parent + 1);
    claim(nodes[0].calls == 1);
    claim(nodes[1].calls == 0); /* it had left */
    claim(nodes[2].calls == 1);
    return NULL;
}

TEST(base_process, D5_registered_handles_are_told_once_in_the_child_and_not_in_the_parent)
{
    for (int i = 0; i < 3; i++)
        ae_fork_register(&nodes[i].fork, count_call);
    ae_fork_unregister(&nodes[1].fork);
    generation_of_parent = ae_fork_generation;
    expect_fine(unit_child(look_in_the_child, NULL));
    expect_number(generation_of_parent, ae_fork_generation);
    cr_assert(nodes[0].calls == 0 && nodes[2].calls == 0);
    ae_fork_unregister(&nodes[2].fork);
    ae_fork_unregister(&nodes[0].fork);
}

static const char *look_in_the_grandchild(void *user)
{
    (void)user;
    claim(ae_fork_generation == generation_of_parent + 2);
    claim(nodes[0].calls == 1); /* in the child, which began a registry of its own */
    claim(nodes[1].calls == 1); /* the child's own */
    return NULL;
}

static const char *register_and_have_a_child(void *user)
{
    (void)user;
    claim(nodes[0].calls == 1);
    ae_fork_register(&nodes[1].fork, count_call);
    return unit_child(look_in_the_grandchild, NULL);
}

TEST(base_process, D5_a_child_begins_a_registry_of_its_own)
{
    ae_fork_register(&nodes[0].fork, count_call);
    generation_of_parent = ae_fork_generation;
    expect_fine(unit_child(register_and_have_a_child, NULL));
    ae_fork_unregister(&nodes[0].fork);
}
