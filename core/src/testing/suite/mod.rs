//! What a user of gridmux can rely on, one function a behaviour: on real loopback sockets, or
//! in memory.
//!
//! Each runtime runs all of them: [`behaviour_suite!`](crate::behaviour_suite) makes one test of each.
//! Nothing here sleeps to wait for another task: a test waits for an event, a state or a counter.
#![allow(
    clippy::unwrap_used,
    reason = "these are tests, though they live where other crates can instantiate them"
)]
#![expect(missing_docs, reason = "a behaviour's name says what it is")]

pub mod bad_input;
pub mod bytes_io;
pub mod calls;
pub mod door;
pub mod drain;
pub mod faults;
pub mod handlers;
pub mod identity;
pub mod limits;
pub mod payloads;
pub mod reconnect;
pub mod sinks;
pub mod stream_ends;
pub mod streams;
pub mod test_grid;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::{Erased, TestGrid, within};
use crate::builder::Builder;
use crate::driver::runtime::Runtime;
use crate::handle::PeerHandle;

/// No behaviour takes longer, on a machine that is busy with all of them.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs one behaviour.
///
/// # Panics
/// If it does not hold, or takes too long.
async fn run<F: Future<Output = ()>>(
    runtime: Erased,
    name: &str,
    behaviour: impl FnOnce(Erased) -> F,
) {
    within(&runtime.clone(), LIMIT, name, behaviour(runtime)).await;
}

/// Two nodes that are connected; the second one serves, and the first one dials.
async fn pair<R: Runtime>(
    runtime: &R,
    serve: impl Fn(Builder<R>) -> Builder<R> + Send + Sync + 'static,
) -> TestGrid<R> {
    let grid = TestGrid::new(runtime, 2, move |index, builder| match index {
        0 => builder,
        _ => serve(builder),
    });
    grid.connected().await;
    grid
}

/// The serving node, as the calling one sees it.
fn server<R: Runtime>(grid: &TestGrid<R>) -> PeerHandle {
    grid.peer(0, 1)
}

/// Raised when it is dropped: with it a handler shows that its future is gone.
#[derive(Debug, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn watch(&self) -> impl Fn() -> bool + use<> {
        let raised = self.0.clone();
        move || raised.load(Ordering::Acquire)
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A behaviour as one test, on a runtime that is made when the test runs.
pub fn made_inside<R: Runtime + Send + Sync + 'static>(
    make: fn() -> R,
    test: fn(Erased) -> LocalBoxFuture<'static, ()>,
) -> LocalBoxFuture<'static, ()> {
    Box::pin(async move { test(Erased::new(make())).await })
}

/// Makes one test of each behaviour: `behaviour_suite!(block_on, runtime)`, where `block_on` runs a
/// future to its end, and within it `runtime` is evaluated, once a test. On an
/// [`InMemory`](crate::testing::InMemory) runtime they run without sockets. All runtimes have the
/// same tests, none more and none less.
#[macro_export]
macro_rules! behaviour_suite {
    ($block_on:expr, $runtime:expr) => {
        $crate::each_behaviour!($crate::behaviour_tests, $block_on, $runtime,);
    };
}

/// One module of tests for each theme.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviour_tests {
    ($block_on:expr, $runtime:expr, $($theme:ident { $($name:ident,)* })*) => {$(
        mod $theme {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $name() {
                    let test = $crate::testing::suite::compiled::$theme::$name;
                    ($block_on)($crate::testing::suite::made_inside(|| $runtime, test));
                }
            )*
        }
    )*};
}

/// All behaviours, by theme.
#[doc(hidden)]
#[macro_export]
macro_rules! each_behaviour {
    ($then:path, $($arguments:tt)*) => {
        $then! { $($arguments)*
            calls {
                a_call_is_answered_by_its_handler,
                building_a_call_sends_nothing_and_its_first_poll_does,
                a_call_ends_once_and_then_says_so,
                a_call_to_an_unconnected_peer_fails_at_once_and_has_not_run,
                wait_for_link_waits_until_the_link_is_up,
                wait_for_link_gives_up_in_time,
                connected_waits_and_names_those_that_are_missing,
                a_deadline_ends_a_call_that_is_not_answered,
                a_deadline_under_a_millisecond_is_refused,
                a_handler_s_error_is_remote_with_its_text,
                an_unknown_handler_is_refused_and_has_not_run,
                a_dropped_call_cancels_its_handler,
                a_thousand_calls_at_once_each_get_their_own_answer,
                calls_go_both_ways_at_once,
                a_call_whose_link_is_lost_fails_once_and_may_have_run,
            }
            payloads {
                a_struct_travels_as_a_map_of_its_fields,
                a_nil_payload_and_an_empty_one_are_two_things,
                byte_strings_travel,
                maps_of_texts_travel,
                url_values_travel,
                arrays_travel,
                json_travels,
                nothing_at_all_travels,
                a_mebibyte_arrives_whole_in_both_directions,
                a_message_at_the_limit_arrives_and_one_above_it_is_refused_here,
                a_payload_that_is_not_the_route_s_type_is_an_error_of_its_own,
                a_value_that_cannot_be_encoded_is_not_sent,
                subroutes_tell_handlers_of_one_id_apart,
            }
            streams {
                items_come_in_order_then_one_end_then_none_for_ever,
                a_stream_without_items_just_ends,
                opening_sends_nothing_until_it_is_polled,
                the_input_of_a_client_stream_makes_one_result,
                both_directions_go_on_at_once,
                two_halves_work_on_two_tasks,
                many_streams_share_one_link,
                halves_are_a_stream_and_a_sink,
                a_credit_goes_back_when_the_caller_takes_an_item,
                a_credit_goes_back_when_the_handler_takes_an_item,
                a_send_dropped_before_it_is_ready_has_queued_nothing,
                a_next_dropped_before_it_is_ready_has_lost_nothing,
                two_clones_of_an_output_wait_for_credits_side_by_side,
                items_of_raw_bytes_may_be_empty_and_large,
                an_item_too_large_leaves_the_stream_as_it_was,
            }
            stream_ends {
                an_error_comes_after_all_items_and_once,
                a_lost_link_comes_after_the_items_received_before,
                close_is_the_end_of_the_input,
                a_sender_dropped_without_close_cancels_the_call,
                a_dropped_receiver_cancels_the_call,
                halves_dropped_after_the_end_cancel_nothing,
                input_that_the_handler_dropped_is_discarded_and_send_never_hangs,
                a_handler_that_ends_early_ends_the_call_though_input_comes,
                a_finished_handler_whose_end_waits_for_a_credit_holds_no_task,
                cancel_and_deadline_end_a_finished_handler_too,
                a_stream_s_deadline_ends_it_on_both_sides,
                an_unknown_stream_shows_on_the_stream_itself,
                a_send_that_waits_is_told_of_the_end,
                an_output_left_running_is_told_that_the_handler_has_returned,
            }
            sinks {
                a_stream_is_forwarded_into_the_sink_of_either_end,
                send_all_sends_on_either_end,
                an_error_in_what_is_forwarded_cancels_the_call,
                a_sink_s_send_dropped_before_it_is_ready_has_queued_nothing,
                an_item_whose_credit_a_clone_has_taken_is_kept,
                closing_an_output_s_sink_ends_the_output_and_not_the_stream,
                a_sink_dropped_without_close_cancels_the_call,
                an_item_too_large_for_the_sink_leaves_the_stream_as_it_was,
            }
            bytes_io {
                five_mebibytes_are_copied_each_way_byte_for_byte,
                any_writes_and_flushes_give_the_same_bytes,
                small_writes_become_one_item_and_a_flush_sends_what_there_is,
                a_caller_s_writer_waits_while_the_handler_reads_nothing,
                a_handler_s_writer_waits_while_the_caller_reads_nothing,
                closing_a_caller_s_writer_is_eof_behind_all_bytes,
                closing_a_handler_s_writer_is_not_the_end_of_the_stream,
                a_writer_dropped_without_close_is_an_error_and_no_eof,
                a_lost_link_fails_readers_and_writers_on_both_ends,
                a_handler_s_error_comes_after_all_bytes,
                a_handler_that_ends_early_fails_the_writer,
                writing_nothing_sends_nothing,
                empty_items_are_no_eof,
                lines_are_read_across_items,
                a_half_comes_back_out_of_its_reader_and_writer,
                bytes_with_a_header_travel_as_well,
                items_are_no_larger_than_a_message_may_be,
            }
            handlers {
                the_context_tells_caller_and_time_left,
                an_inline_handler_answers_without_a_task,
                answers_leave_while_an_inline_handler_has_calls_to_come,
                a_caller_s_cancel_reaches_the_handler,
                a_deadline_cancels_the_handler,
                a_lost_link_cancels_the_handler,
                the_end_of_the_grace_cancels_the_handler,
                a_run_to_end_handler_runs_on_and_counts_against_the_limit,
                a_panic_in_a_handler_is_an_error_and_harms_nothing_else,
                a_panic_before_the_first_await_is_caught_too,
                a_panic_in_the_encoding_is_an_error_and_harms_nothing_else,
                panics_of_one_handler_are_logged_once_cut_and_on_one_line,
                an_inline_handler_that_is_slow_is_logged_once,
                what_a_handler_left_running_is_told_that_it_has_returned,
                a_handler_reaches_the_peers_without_keeping_its_node_alive,
            }
            reconnect {
                the_dialler_finds_a_restarted_acceptor,
                a_restarted_dialler_connects_again,
                a_cut_link_comes_back_again_and_again,
                a_lost_node_does_not_concern_the_others,
                a_second_process_of_one_name_takes_the_link_over_and_keeps_it,
                a_closed_start_gate_lets_nobody_through,
                a_peer_can_be_added_and_removed_while_the_grid_runs,
                every_change_of_the_state_can_be_watched,
                why_there_is_no_link_is_known_to_everyone_who_asks,
            }
            drain {
                an_acceptor_that_shuts_down_lets_calls_finish_both_ways,
                a_dialler_that_shuts_down_lets_calls_finish_both_ways,
                a_grace_too_short_cancels_what_runs,
                a_second_shutdown_can_only_shorten_the_grace,
                both_nodes_may_shut_down_at_once,
                a_node_that_shuts_down_refuses_connections_and_then_frees_its_port,
                dropping_the_last_handle_of_a_grid_closes_its_links,
                a_node_without_a_link_shuts_down_at_once,
                the_port_is_free_when_the_shutdown_is_over,
                a_connection_that_nobody_owns_yet_ends_with_the_node,
                handlers_have_ended_when_the_shutdown_is_over,
                a_handler_may_shut_its_own_node_down,
            }
            limits {
                one_call_too_many_fails_here,
                one_call_too_many_is_refused_there,
                a_full_send_queue_makes_calls_wait_or_fail_as_they_wish,
                received_items_that_nobody_takes_end_their_stream_only,
                long_outcomes_count_as_received_until_they_are_taken,
                dropped_waiters_leave_nothing_behind,
                what_running_handlers_hold_is_limited,
                values_that_multiply_when_they_are_decoded_are_refused,
                what_a_request_is_decoded_to_counts_while_its_handler_runs,
                links_that_hold_much_together_are_limited_and_others_go_on,
                many_large_responses_at_once_all_arrive,
                ends_that_declare_other_capacities_are_told_which_route,
                the_figures_of_all_links_add_up,
                the_link_is_pinged_and_its_round_trip_is_known,
                of_strangers_over_the_limit_the_oldest_is_closed_and_it_is_logged_once,
                peers_join_though_strangers_come_all_the_time,
            }
            door {
                an_upgraded_connection_can_be_handed_over,
                what_the_server_has_read_beyond_the_request_is_not_lost,
                a_raw_connection_can_be_handed_over,
                names_with_https_need_a_connector,
                a_node_listens_only_if_everything_else_can_work,
            }
            identity {
                an_address_that_is_another_nodes_is_refused_by_its_token,
                an_address_that_is_another_nodes_is_refused_by_the_answer,
                one_process_is_not_the_peer_of_two_names,
            }
            bad_input {
                garbage_on_the_port_is_refused,
                an_http_request_that_is_no_upgrade_is_told_so,
                a_wrong_token_is_refused_in_the_upgrade,
                a_wrong_token_is_refused_in_the_connect,
                a_node_with_another_secret_is_told_and_both_log_it_once,
                an_unknown_name_is_refused,
                refusals_whose_texts_change_are_logged_once_of_each_kind,
                a_node_without_descriptors_now_and_then_says_so_once,
                a_name_that_is_to_be_dialled_may_not_dial,
                a_wrong_clock_is_refused_in_the_upgrade_and_in_the_connect,
                a_first_message_that_is_no_connect_is_refused,
                a_first_message_too_long_is_cut_off,
                a_message_over_the_limit_drops_the_link,
                a_message_that_does_not_parse_drops_the_link,
                a_peer_that_never_reads_is_dropped_and_holds_nobody_up,
                a_silent_connection_is_closed_in_time,
                who_sends_pings_for_ever_has_no_more_time_than_the_silent,
            }
            faults {
                a_panic_in_the_link_s_task_costs_that_link_only,
                a_panic_on_a_user_s_thread_costs_that_link_only,
                a_handler_of_the_lost_machine_answers_nobody_else,
            }
            test_grid {
                a_killed_node_is_lost_for_the_others_and_its_own_handles_fail,
                a_handler_of_a_killed_node_is_dropped,
                a_restarted_node_is_a_new_one_for_all,
                a_partition_isolates_its_groups_exactly_and_heals,
                a_cut_concerns_one_pair_and_outlives_a_restart,
                a_broken_link_is_followed_by_the_next,
                a_hold_that_is_released_in_time_has_lost_nothing,
                a_held_link_dies_of_silence_at_both_ends,
                a_death_behind_a_hold_is_seen_at_the_release,
                a_node_that_is_shut_down_says_so_and_can_be_restarted,
                a_twin_goes_on_when_the_first_is_killed,
                nodes_may_have_names_of_their_own,
                what_cannot_work_is_an_error_of_the_start,
                a_dropped_grid_leaves_no_task_behind,
                the_tasks_of_peers_without_a_link_end_with_them,
            }
        }
    };
}

/// No behaviour may be missing from the list below.
macro_rules! compiled {
    ($($theme:ident { $($name:ident,)* })*) => {
        /// The behaviours of each theme on an [`Erased`] runtime: compiled here, and in no test
        /// binary again. Builds without debug assertions do so where they are used, if at all.
        pub mod compiled {$(
            pub mod $theme {
                use futures::future::LocalBoxFuture;

                use crate::testing::{Erased, suite};

                $(
                    #[cfg_attr(not(debug_assertions), inline)]
                    pub fn $name(runtime: Erased) -> LocalBoxFuture<'static, ()> {
                        let behaviour = suite::$theme::$name;
                        Box::pin(suite::run(runtime, stringify!($name), behaviour))
                    }
                )*
            }
        )*}
    };
}

each_behaviour!(compiled,);

#[cfg(test)]
mod tests {
    macro_rules! list {
        ($list:ident, $($theme:ident { $($name:ident,)* })*) => {
            const $list: &[(&str, &str, &[&str])] = &[$((
                stringify!($theme),
                include_str!(concat!(stringify!($theme), ".rs")),
                &[$(stringify!($name)),*],
            )),*];
        };
    }

    each_behaviour!(list, LIST,);

    #[test]
    fn every_behaviour_is_on_the_list() {
        for (theme, source, listed) in LIST {
            let written: Vec<&str> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn ")?.split('<').next())
                .collect();
            assert_eq!(&written, listed, "{theme}");
        }
        let count: usize = LIST.iter().map(|(_, _, listed)| listed.len()).sum();
        println!("{count} behaviours, on each runtime");
    }
}
