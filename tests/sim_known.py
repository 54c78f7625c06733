"""Bugs that few worlds show, each with the seed of one that does: it is played first, so that nobody waits for the others.

If worlds change and it does not show the bug any more, all are tried as for any other.
"""

from typing import Final

KNOWN: Final = {
    "a_restart_forgets_what_waits": 16, "accept_a_gap": 5, "carry_out_under_new_ids": 10, "count_nothing_of_a_day": 48,
    "end_a_request_over_what_waits": 11, "forget_deaths_of_a_task": 13, "forget_that_a_person_was_asked_about_the_plan": 3,
    "forget_the_result_that_waits": 10, "forget_what_waits_for_somebody": 34, "forget_what_was_spooled": 13,
    "forget_who_is_off": 34, "give_a_doubt_to_somebody_else": 8, "give_to_who_is_off": 34,
    "hold_back_without_a_word_of_the_other": 5, "keep_what_is_over": 30, "leave_persons_busy": 4,
    "leave_under_a_key_for_each_try": 242, "let_an_approval_wait_for_ever": 117,
    "let_another_tool_do_what_may_have_happened": 28, "let_loops_go_on": 8, "let_nothing_expire": 5,
    "let_what_is_given_up_wait": 25, "lose_a_doubt": 13, "lose_a_persons_word_to_mai": 3, "move_files_before_commit": 24,
    "never_expire": 4, "plan_otherwise_than_a_person_has_said": 3, "read_an_older_version": 10, "renumber_steps": 6,
    "repeat_an_opaque_effect": 33, "take_a_boards_denial_for_an_approval": 4, "take_silence_for_an_approval": 25,
    "take_what_is_late": 4, "take_what_was_seen": 6, "tell_other_than_a_person_has_said": 3, "tell_the_result_as_well": 10,
    "use_an_approval_twice": 13, "write_to_the_dead": 229,
}  # fmt: skip
