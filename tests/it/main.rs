//! The product from outside: real processes, a real Postgres, a real RabbitMQ, a real provider and a real webhook
//! receiver. One binary, because each further one would link everything again.

mod admin;
mod admin_internal_numbers;
mod admin_log;
mod admin_reviews;
mod architecture;
mod audit;
mod audit_faults;
mod callbacks;
mod callbacks_abuse;
mod callbacks_opt_outs;
mod callbacks_statuses;
mod cluster;
mod contention;
mod corpus;
mod coverage;
mod delivery;
mod doors;
mod durability;
mod errors;
mod evolution_callbacks;
mod evolution_connection;
mod evolution_look_ups;
mod evolution_people;
mod evolution_samples;
mod evolution_sending;
mod evolution_suspicion;
mod evolution_tokens;
mod fairness;
mod guard;
mod guard_answers;
mod guard_verdicts;
mod guessing;
mod hostile;
mod idempotency;
mod life;
mod logs;
mod logs_health;
mod meta_answers;
mod meta_codes;
mod meta_people;
mod meta_samples;
mod meta_senders;
mod meta_templates;
mod meta_unknown;
mod meta_window;
mod monitoring;
mod opt_out;
mod overload;
mod pacing;
mod partitions;
mod partitions_before;
mod precedence;
mod prefer_wait;
mod quota;
mod reads;
mod restore;
mod sandbox;
mod schema;
mod secrets;
mod shutdown;
#[expect(dead_code, reason = "shared with the faults, which use the rest")]
mod support;
mod suppressions;
mod sweep;
mod sweep_crashes;
mod sweep_memory;
mod tenants;
mod tricks;
mod tricks_wire;
mod webhooks;
mod webhooks_isolation;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::services::Services;

/// Tests that are given the shared servers.
macro_rules! with_services {
    ($handle:expr, $services:expr, $($module:ident :: $name:ident),+ $(,)?) => {
        vec![$({
            let (handle, services) = ($handle.clone(), Arc::clone(&$services));
            let name = concat!(stringify!($module), "::", stringify!($name));
            Trial::test(name, move || {
                handle.block_on(async { $module::$name(services.get().await).await });
                Ok(())
            })
        }),+]
    };
}

/// Tests that are given the shared servers and cannot be run everywhere: they say themselves where not, and why.
macro_rules! where_possible {
    ($handle:expr, $services:expr, $($module:ident :: $name:ident),+ $(,)?) => {
        vec![$({
            let (handle, services) = ($handle.clone(), Arc::clone(&$services));
            let name = concat!(stringify!($module), "::", stringify!($name));
            Trial::ignorable_test(name, move || {
                Ok(handle.block_on(async { $module::$name(services.get().await).await }))
            })
        }),+]
    };
}

/// Tests that need nothing.
macro_rules! alone {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

/// The shared servers, started with the first test that needs them.
struct Shared(tokio::sync::OnceCell<Services>);

impl Shared {
    async fn get(&self) -> &Services {
        self.0
            .get_or_init(|| async {
                let services = Services::start().await;
                eprintln!("services: {}", services.way());
                services
            })
            .await
    }
}

#[expect(clippy::too_many_lines, reason = "a line for each test")]
fn main() {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    drop(rustls::crypto::ring::default_provider().install_default());
    let services = Arc::new(Shared(tokio::sync::OnceCell::new()));
    let handle = runtime.handle().clone();
    let mut tests = alone![
        architecture::floors_point_down,
        architecture::sql_and_lapin_have_one_home,
        monitoring::panels_have_units_and_words,
        monitoring::alerts_say_what_to_do,
        evolution_samples::samples_are_all_used,
        corpus::corpus_is_large_enough_and_nothing_is_in_it_twice,
        corpus::corpus_is_judged_no_worse_than_before,
        coverage::coverage_of_every_answer,
        meta_samples::coverage_of_samples_is_complete,
        meta_samples::coverage_of_codes_is_complete,
    ];
    tests.extend(with_services![
        handle,
        services,
        life::life_of_two_messages,
        life::life_of_an_opt_out,
        life::life_has_no_marketing,
        schema::schema_is_migrated_once,
        schema::schema_is_migrated_by_four_at_once,
        schema::schema_of_another_version_is_refused_by_name,
        schema::schema_is_keyed_by_tenant,
        schema::schema_explains_its_columns,
        schema::schema_that_was_released_is_not_changed,
        partitions::partitions_are_made_ahead,
        partitions::partitions_take_in_what_fell_outside,
        partitions::partitions_of_texts_go_before_those_of_rows,
        partitions::partitions_with_something_open_are_kept,
        partitions::partitions_of_the_past_are_left_alone,
        partitions_before::partitions_take_over_what_was_there_before,
        admin::admin_prints_one_object,
        admin::admin_says_what_is_allowed,
        admin::admin_names_what_is_not_there,
        admin::admin_is_heeded_by_running_gateways_within_a_second,
        admin::admin_makes_keys_that_work_at_once,
        admin_internal_numbers::internal_numbers_are_added_named_and_removed,
        admin_internal_numbers::internal_numbers_are_the_accounts_own,
        admin_reviews::reviews_hold_messages_until_the_resume,
        admin_reviews::reviews_say_who_when_and_why,
        admin_reviews::reviews_shown_are_the_latest_hundred,
        admin_reviews::reviews_by_the_guard_name_its_decision,
        admin_log::log_explains_real_sends,
        admin_log::log_shows_signals_and_facts,
        admin_log::log_names_what_is_not_there,
        admin_log::log_is_not_read_through,
        audit::audit_finds_nothing_wrong_with_a_mixed_life,
        audit::audit_finds_each_fault,
        audit::audit_of_a_running_system_raises_no_alarm,
        restore::restore_to_a_moment_sends_nothing_twice,
        errors::errors_are_the_catalogues,
        errors::errors_outside_the_catalogue_have_its_shape,
        precedence::precedence_is_the_catalogues_order,
        hostile::hostile_json_is_refused,
        hostile::hostile_fields_are_named,
        hostile::hostile_media_are_named,
        hostile::hostile_media_types_are_refused,
        hostile::hostile_sizes_are_refused,
        hostile::hostile_slow_bodies_are_given_up,
        hostile::hostile_headers_are_refused,
        hostile::hostile_bytes_do_no_harm,
        doors::doors_are_open_beside_thousands_who_say_nothing,
        doors::doors_for_operators_are_bounded_too,
        doors::doors_do_not_wait_for_those_who_never_read,
        doors::doors_for_callbacks_outlast_slow_writers,
        guessing::guessing_from_one_address_is_slowed,
        guessing::guessing_is_in_nobodys_way,
        guessing::guessing_one_key_from_many_addresses_is_slowed,
        secrets::secrets_are_unreadable_in_a_dump,
        tenants::tenants_ids_are_nobodys_to_others_commands,
        tenants::tenants_ids_are_nobodys_to_others_requests,
        tricks::tricks_in_fields_are_data,
        tricks::tricks_in_headers_are_data,
        tricks::tricks_in_callbacks_are_data,
        tricks::tricks_in_answers_are_data,
        tricks_wire::tricks_with_paths_lead_nowhere,
        tricks_wire::tricks_with_targets_change_nothing,
        tricks_wire::tricks_with_lengths_smuggle_nothing,
        guard::guard_stops_a_broadcast_exactly_across_three_gateways,
        guard::guard_lets_orders_pass_that_differ_by_their_number,
        guard::guard_lets_a_notice_reach_the_team,
        guard::guard_windows_slide,
        guard::guard_slows_bursts_to_strangers,
        guard::guard_limits_codes_per_recipient,
        guard::guard_knows_a_code_when_it_sees_one,
        guard::guard_knows_the_backlog_at_the_door,
        guard::guard_counters_are_bounded,
        guard::guard_heeds_new_rules_within_a_second,
        guard_answers::check_message_says_what_a_send_is_answered,
        guard_answers::check_message_explains,
        guard_answers::answers_say_what_is_left,
        guard_answers::a_key_refused_all_the_time_is_slowed,
        guard_answers::changes_are_heeded_without_notices,
        guard_verdicts::verdicts_of_a_thousand_mixed_requests,
        reads::reads_do_not_grow_with_the_tables,
        reads::what_postgres_knows_nothing_of_is_looked_up_by_its_key,
        reads::what_waits_is_not_read_for_each_message,
        quota::quota_of_a_day_is_exact_across_processes,
        quota::quota_of_a_month_is_exact_across_processes,
        quota::quota_rolls_over_at_the_accounts_midnight,
        quota::quota_comes_back_to_its_own_day_and_month,
        quota::quota_comes_back_when_nothing_was_sent,
        quota::quota_stays_used_when_the_provider_was_reached,
        idempotency::idempotency_replays_the_first_answer,
        idempotency::idempotency_makes_one_of_fifty_at_once,
        idempotency::idempotency_holds_for_the_last_place,
        idempotency::idempotency_lets_one_of_two_bodies_win,
        idempotency::idempotency_lasts_a_day,
        idempotency::idempotency_keys_are_the_accounts_own,
        idempotency::idempotency_keys_that_are_not_good_are_named,
        idempotency::idempotency_does_not_remember_refusals,
        prefer_wait::prefer_wait_tells_the_outcome,
        prefer_wait::prefer_wait_tells_each_its_own,
        prefer_wait::prefer_wait_ends_in_time,
        prefer_wait::prefer_wait_is_ignored_where_it_means_nothing,
        contention::contention_loses_no_acceptance,
        contention::contention_over_new_counters_loses_no_place,
        contention::contention_loses_no_pacing_slot,
        contention::contention_loses_no_returned_place,
        fairness::fairness_in_the_queue,
        fairness::fairness_of_what_is_due,
        fairness::fairness_beside_a_provider_that_hangs,
        delivery::a_job_delivered_twice_makes_one_call,
        delivery::two_workers_call_once_for_each_of_many,
        delivery::a_permanent_refusal_fails_at_once,
        delivery::a_transient_failure_is_tried_again,
        delivery::throttles_delay_and_do_not_count,
        delivery::an_instance_error_holds_the_sender,
        delivery::a_timeout_is_unknown_and_not_a_second_send,
        delivery::an_unknown_message_is_sent_again_where_that_is_wanted,
        delivery::an_unknown_message_that_cannot_be_sent_again_fails,
        delivery::the_attempt_is_recorded_before_the_call,
        delivery::suppression_is_checked_again_before_the_attempt,
        delivery::an_old_message_expires_unsent,
        delivery::an_unreachable_provider_is_tried_again_until_the_validity_ends,
        evolution_sending::evolution_gets_what_it_needs_and_no_more,
        evolution_sending::evolution_refusals_fail_at_once,
        evolution_sending::evolution_doubts_are_no_second_send,
        evolution_sending::evolution_calls_without_an_answer_leave_their_id,
        evolution_sending::evolution_faults_before_the_send_are_tried_again,
        evolution_sending::evolution_instance_errors_hold_the_sender,
        evolution_sending::evolution_connections_are_looked_at,
        evolution_sending::evolution_goes_on_when_it_is_connected_again,
        evolution_sending::evolution_connections_are_looked_at_once,
        evolution_sending::evolution_reports_settle_what_had_no_answer,
        evolution_sending::evolution_sandbox_knows_every_class,
        evolution_sending::evolution_is_told_where_to_report,
        pacing::three_workers_keep_one_rate,
        pacing::a_slow_rate_is_kept_too,
        pacing::a_burst_leaves_at_once,
        pacing::a_code_passes_a_backlog,
        pacing::one_person_is_not_flooded,
        pacing::a_long_backlog_is_refused_at_the_door,
        durability::sends_are_accepted_without_rabbitmq,
        durability::service_resumes_when_postgres_is_back,
        durability::a_silent_database_is_noticed_in_time,
        durability::a_killed_gateway_loses_nothing,
        callbacks::the_handshake_needs_the_token_and_the_mode,
        callbacks::signatures_are_checked_over_the_raw_bytes,
        callbacks::four_megabytes_are_the_limit,
        callbacks::what_is_not_ours_changes_nothing,
        callbacks::a_mark_counts_only_for_its_own_sender,
        callbacks::reports_that_wait_share_a_commit,
        callbacks_abuse::a_thousand_updates_in_one_post_all_count,
        callbacks_abuse::repeats_of_a_week_change_nothing,
        callbacks_abuse::slow_strangers_keep_nobody_waiting,
        callbacks_abuse::what_cannot_be_stored_is_in_nobodys_way,
        callbacks_statuses::any_order_ends_as_read,
        callbacks_statuses::two_gateways_keep_every_life_in_line,
        callbacks_statuses::one_post_may_hold_several_reports_of_a_message,
        callbacks_statuses::a_report_may_overtake_the_answer,
        callbacks_statuses::a_report_of_an_unknown_id_waits_for_its_message,
        callbacks_statuses::delivery_outranks_a_reported_failure,
        callbacks_opt_outs::an_arabic_stop_suppresses_in_the_exact_shape,
        callbacks_opt_outs::a_button_says_it_too,
        callbacks_opt_outs::whoever_is_named_by_an_old_form_is_the_same_person,
        callbacks_opt_outs::a_repeated_stop_says_nothing_new,
        callbacks_opt_outs::stop_inside_a_sentence_does_nothing,
        callbacks_opt_outs::a_preference_silences_what_is_not_essential,
        callbacks_opt_outs::an_opt_out_is_one_accounts_alone,
        opt_out::opt_out_words_are_the_accounts_own,
        opt_out::opt_out_is_confirmed_once,
        opt_out::opt_out_confirmations_survive_a_crash,
        opt_out::opt_out_confirmations_that_are_late_are_not_sent,
        opt_out::opt_out_wins_the_race_against_what_waits,
        overload::overload_is_refused_at_once,
        evolution_callbacks::every_sample_has_its_effect,
        evolution_callbacks::an_address_and_a_size_are_required,
        evolution_callbacks::garbage_changes_nothing,
        evolution_callbacks::an_address_speaks_for_its_own_instance,
        evolution_callbacks::a_report_waits_for_its_message,
        evolution_callbacks::an_error_counts_for_its_own_call,
        evolution_callbacks::a_late_report_changes_nothing,
        evolution_callbacks::what_went_out_is_recognised_by_its_text,
        evolution_people::a_wish_without_a_number_waits_for_it,
        evolution_people::the_last_wish_that_waits_counts,
        evolution_people::a_number_is_learnt_for_one_account,
        evolution_people::the_operator_may_tell_the_number,
        evolution_people::an_opt_out_follows_to_a_new_number,
        evolution_connection::reports_are_told_and_explained,
        evolution_connection::the_operators_word_stays,
        evolution_connection::an_older_report_changes_nothing,
        meta_answers::every_answer_has_its_effect,
        meta_answers::every_send_says_whose_it_is,
        meta_answers::a_number_can_be_checked,
        meta_codes::every_code_acts_as_its_class,
        meta_codes::every_code_reported_later_acts_as_its_class,
        meta_codes::every_code_of_the_sender_acts_as_its_class,
        meta_samples::every_callback_has_its_effect,
        meta_people::a_wish_without_a_number_waits_for_it,
        meta_people::a_preference_without_a_number_waits_too,
        meta_people::whom_meta_spares_is_spared_for_a_day,
        meta_senders::an_error_of_the_number_stops_it,
        meta_senders::the_limit_of_a_pair_delays_that_pair,
        meta_senders::news_of_an_account_reach_its_numbers,
        meta_senders::a_restriction_holds_what_it_is_about,
        meta_senders::a_restricted_number_is_tried_by_what_may_leave,
        meta_senders::a_restricted_number_is_tried_before_anything_was_heard,
        meta_templates::a_template_is_sent_in_metas_shape,
        meta_templates::a_template_is_named_where_it_cannot_be,
        meta_templates::a_template_is_judged_by_what_is_filled_in,
        meta_templates::a_template_is_part_of_the_body,
        meta_templates::a_template_that_is_refused_fails,
        meta_unknown::an_answer_that_comes_too_late_is_no_second_send,
        meta_unknown::half_an_answer_is_no_answer,
        meta_unknown::silence_ends_at_the_deadline,
        meta_unknown::a_report_without_a_mark_waits_for_one_with_it,
        meta_unknown::a_resend_is_one_and_marked_as_such,
        meta_window::a_closed_window_fails_without_a_call,
        meta_window::what_is_not_known_is_tried,
        meta_window::an_operator_may_have_it_tried,
        meta_window::a_window_is_one_numbers,
        evolution_samples::samples_of_errors_have_their_effect,
        evolution_samples::samples_of_answers_to_sends_are_understood,
        evolution_samples::samples_of_states_are_followed,
        evolution_tokens::tokens_vouch_for_events_where_that_is_asked_for,
        evolution_tokens::tokens_and_keys_are_not_kept,
        evolution_look_ups::look_ups_find_a_message_by_its_id,
        evolution_look_ups::look_ups_find_a_message_by_its_text,
        evolution_look_ups::look_ups_end,
        evolution_look_ups::look_ups_tell_of_failures,
        evolution_suspicion::suspicion_lets_one_message_through_at_a_time,
        evolution_suspicion::suspicion_remembers_a_relapse,
        evolution_suspicion::suspicion_ends_without_a_message_where_the_server_says_so,
        evolution_suspicion::suspicion_finds_who_is_connected_and_dead,
        evolution_suspicion::suspicion_does_not_fall_on_who_is_not_heard,
        evolution_suspicion::suspicion_falls_on_another_number,
        evolution_suspicion::suspicion_counts_what_whatsapp_does_not_take,
        evolution_suspicion::suspicion_or_not_what_is_held_leaves_with_the_report,
        evolution_suspicion::suspicion_of_a_meta_number_waits_as_long_as_meta_says,
        evolution_suspicion::suspicion_outlives_a_lost_try,
        suppressions::suppressions_count_at_the_door,
        suppressions::suppressions_count_at_the_attempt,
        suppressions::suppressions_count_at_the_call,
        suppressions::suppressions_are_listed_with_their_state,
        suppressions::suppressions_need_a_period_that_can_be,
        suppressions::suppressions_by_the_person_have_no_end,
        suppressions::suppressions_follow_a_changed_number,
        sandbox::sandbox_recipients_on_metas_wire,
        sandbox::sandbox_recipients_on_evolutions_wire,
        sandbox::sandbox_is_told_what_happens_at_an_instance,
        webhooks::events_are_in_the_commit_of_what_they_tell,
        webhooks::each_rise_is_told_in_the_documented_shape,
        webhooks::a_failed_attempt_is_made_again_on_schedule,
        webhooks::an_endpoint_that_is_gone_is_left_alone,
        webhooks::redirects_are_not_followed,
        webhooks::an_answer_is_kept_up_to_sixteen_kibibytes,
        webhooks::an_endpoint_gets_what_it_asked_for,
        webhooks::two_processes_send_each_event_once,
        webhooks_isolation::a_dead_endpoint_delays_nobody,
        webhooks_isolation::private_addresses_are_refused,
        webhooks_isolation::an_allowed_network_is_reached_and_no_other,
        sweep::a_lost_publish_is_found,
        sweep::an_emptied_queue_loses_nothing,
        sweep::deleted_queues_come_back,
        sweep::an_expired_message_gives_its_quota_back,
        sweep::a_lost_webhook_is_found,
        sweep::two_of_each_do_no_harm,
        sweep::poison_is_parked_and_the_consumers_go_on,
        sweep_crashes::claimed_messages_outlive_their_worker,
        sweep_crashes::a_call_that_was_lost_ends_by_evidence,
        sweep_crashes::a_call_that_was_lost_ends_at_the_deadline,
        sweep_crashes::claimed_webhooks_outlive_their_process,
        sweep_memory::the_guards_memory_is_forgotten_in_time,
        shutdown::a_gateway_ends_with_whole_answers,
        shutdown::a_worker_ends_with_its_calls_recorded,
        shutdown::a_teller_ends_with_its_webhooks_recorded,
        shutdown::a_sweeper_ends_between_two_rounds,
        shutdown::nobody_silent_holds_up_the_end,
        shutdown::a_lost_database_does_not_hold_up_the_end,
        shutdown::a_silent_database_does_not_hold_up_the_end,
        logs::text_logs_hold_no_person_and_no_secret,
        logs::json_logs_hold_no_person_and_no_secret,
        logs_health::readiness_follows_the_database,
        monitoring::metrics_are_those_of_the_readme,
        monitoring::queries_find_what_they_ask_for,
        monitoring::measures_what_waits,
        monitoring::counts_what_fails,
        logs_health::a_bad_setting_stops_the_start_by_name,
    ]);
    tests.extend(where_possible![
        handle,
        services,
        cluster::cluster_faults_under_load_lose_nothing,
        cluster::cluster_that_grows_under_its_users,
    ]);
    let conclusion = libtest_mimic::run(&arguments, tests);
    runtime.block_on(async {
        if let Some(services) = Arc::into_inner(services).and_then(|shared| shared.0.into_inner()) {
            services.stop().await;
        }
    });
    conclusion.exit();
}
