/* Stories of a few nodes in virtual time: gossip/swim. */
#include "gossip_world.h"

START_TEST(those_who_contact_one_know_all)
{
    world_cluster(5);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            ck_assert_int_eq(state_at(i, j), NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(who_is_killed_is_down_within_five_seconds)
{
    world_cluster(5);
    world_kill(4);
    world_run(5000);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(state_at(i, 4), NODE_DOWN);
    ck_assert_int_eq(state_at(0, 1), NODE_NORMAL);
    world_end();
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, those_who_contact_one_know_all);
    tcase_add_test(c, who_is_killed_is_down_within_five_seconds);
}

int main(void)
{
    return unit_main("swim", add_cases);
}
